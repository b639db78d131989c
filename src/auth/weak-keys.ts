/** RSA moduli whose factors are known or easily found, whatever their length. */

/** Tried as factors: every odd prime below 2000, and the odd numbers between, which tell nothing more and cost little. */
const SMALL_FACTORS = Array.from({ length: 999 }, (_, index) => BigInt(2 * index + 3));
/** Primes that lie this close (in steps from the square root) are found by Fermat's method (CVE-2022-26320). */
const FERMAT_STEPS = 100;

/** Why this modulus protects nothing; undefined when nothing is known against it. */
export function rsaWeakness(modulus: bigint): string | undefined {
  if (modulus % 2n === 0n || SMALL_FACTORS.some((factor) => modulus % factor === 0n)) return "has a small factor";
  if (hasRocaFingerprint(modulus)) return "was made by a faulty library (CVE-2017-15361)";
  if (hasCloseFactors(modulus)) return "has factors too close to each other";
  return undefined;
}

/** The primes by which the faulty library's moduli stand out (Nemec et al. 2017, "The Return of Coppersmith's Attack"). */
const ROCA_PRIMES = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
const ROCA_GENERATOR = 65_537;

/** Of each prime, what powers of the generator leave as remainder. Sound moduli leave others for some prime. */
const ROCA_REMAINDERS = ROCA_PRIMES.map((prime) => {
  const remainders = new Set<number>();
  for (let power = 1; !remainders.has(power); power = (power * ROCA_GENERATOR) % prime) remainders.add(power);
  return { prime: BigInt(prime), remainders };
});

function hasRocaFingerprint(modulus: bigint): boolean {
  return ROCA_REMAINDERS.every(({ prime, remainders }) => remainders.has(Number(modulus % prime)));
}

/** n = a² − b² with a little above √n. */
function hasCloseFactors(modulus: bigint): boolean {
  let a = squareRoot(modulus);
  if (a * a < modulus) a += 1n;
  for (let step = 0; step < FERMAT_STEPS; step++, a += 1n) {
    const rest = a * a - modulus;
    const b = squareRoot(rest);
    if (b * b === rest) return true;
  }
  return false;
}

/** Rounded down; Newton's method from above. */
function squareRoot(value: bigint): bigint {
  if (value === 0n) return 0n;
  let root = 1n << BigInt(Math.ceil(value.toString(2).length / 2));
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}
