import { describe, expect, it } from "vitest";
import { TokenMemory, type VerifiedToken } from "../../src/auth/token-memory.js";

const verified = (subject: string) => ({ subject }) as VerifiedToken;

describe("the memory of verified tokens", () => {
  it("keeps no more than it may, and drops the one that was not used for longest", () => {
    const memory = new TokenMemory(2);
    memory.keep("a", verified("alice"));
    memory.keep("b", verified("bob"));
    expect(memory.find("a")?.subject).toBe("alice");
    memory.keep("c", verified("carol"));
    expect(["a", "b", "c"].map((token) => memory.find(token)?.subject)).toEqual(["alice", undefined, "carol"]);
  });

  it("keeps fewer when they are long", () => {
    const memory = new TokenMemory(4);
    const long = (letter: string) => letter.repeat(8192);
    memory.keep("short", verified("short"));
    memory.keep(long("a"), verified("a"));
    expect(memory.find("short")).toBeUndefined();
    memory.keep(long("b"), verified("b"));
    expect([memory.find(long("a"))?.subject, memory.find(long("b"))?.subject]).toEqual([undefined, "b"]);
    memory.forget(long("b"));
    for (const token of ["c", "d", "e", "f"]) memory.keep(token, verified(token));
    expect(memory.find("c")?.subject).toBe("c");
  });

  it("takes a token that it is given again for one, in place of the other", () => {
    const memory = new TokenMemory(2);
    memory.keep("short", verified("short"));
    for (const subject of ["a", "b", "c"]) memory.keep("long".repeat(500), verified(subject));
    expect([memory.find("short")?.subject, memory.find("long".repeat(500))?.subject]).toEqual(["short", "c"]);
  });

  it("keeps nothing when it may keep none, and nothing that it was told to forget", () => {
    const none = new TokenMemory(0);
    none.keep("a", verified("alice"));
    expect(none.find("a")).toBeUndefined();
    const memory = new TokenMemory(1);
    memory.keep("a", verified("alice"));
    memory.forget("a");
    expect(memory.find("a")).toBeUndefined();
  });
});
