/** A resource held against its description. What is not known before it is deployed passes, unless its type is wrong. */
import { Either, type Resource, Unknown, type Value } from "./bicep.js";

/** As Microsoft's management libraries have them: where in the request a property goes, and of what type it is. */
export interface Mapper {
  readonly serializedName?: string;
  readonly required?: boolean;
  readonly readOnly?: boolean;
  readonly constraints?: {
    readonly InclusiveMinimum?: number;
    readonly InclusiveMaximum?: number;
    readonly Pattern?: RegExp;
  };
  readonly type: {
    readonly name: string;
    readonly className?: string;
    readonly modelProperties?: Readonly<Record<string, Mapper>>;
    readonly additionalProperties?: object;
    readonly element?: Mapper;
    readonly value?: Mapper;
    readonly allowedValues?: readonly string[];
  };
}

export interface Library {
  readonly mappers: Readonly<Record<string, Mapper>>;
  /** TypeScript declarations, for the values that a property is known to take. */
  readonly types: string;
  readonly versions: readonly string[];
}

/** In Bicep's words for where a resource is, and no part of what is sent. */
const PLACE = new Set(["name", "parent", "scope", "dependsOn"]);

/** What a request has at one place: a property, or further places below. */
interface Place {
  readonly mapper?: Mapper;
  readonly known?: Known;
  readonly below: Places;
}
type Places = Map<string, Place>;

/** The values that a text may take, if it is not any; looked up when there is one. */
type Known = () => readonly string[];

export class Check {
  readonly #faults: string[] = [];

  constructor(private readonly library: Library) {}

  /** One line for each fault. */
  resource(mapper: Mapper, { type, version, body }: Resource): string[] {
    if (!this.library.versions.includes(version)) this.#faults.push(`${type}: described for ${this.library.versions}`);
    if (!isObject(body) || !Object.hasOwn(body, "name")) this.#faults.push(`${type}: needs name`);
    const sent = Object.entries(isObject(body) ? body : {}).filter(([key]) => !PLACE.has(key));
    this.#composite(mapper, Object.fromEntries(sent), type);
    return this.#faults;
  }

  /** Whether a resource that is there has this property. */
  answers(mapper: Mapper, path: readonly string[]): boolean {
    let places: Places = this.#placesOf(this.#modelOf(mapper));
    for (const key of path) {
      const place: Place | undefined = places.get(key);
      if (place === undefined) return false;
      places = place.mapper?.type.name === "Composite" ? this.#placesOf(this.#modelOf(place.mapper)) : place.below;
    }
    return true;
  }

  #value(mapper: Mapper, value: Value, path: string, known: Known = () => []): void {
    if (value instanceof Either) {
      for (const one of value.values) this.#value(mapper, one, path, known);
      return;
    }
    const { name, element, value: item } = mapper.type;
    const type = TYPES[name];
    this.#type(type, typeOf(value), path);
    if (typeof value === "string") this.#isKnown(mapper.type.allowedValues ?? known(), value, path);
    this.#constraints(mapper, value, path);
    if (name === "Composite" && isObject(value)) this.#composite(mapper, value, path);
    if (element && isList(value)) for (const one of value) this.#value(element, one, `${path}[]`, known);
    if (item && isObject(value))
      for (const [key, one] of Object.entries(value)) this.#value(item, one, `${path}.${key}`);
  }

  #type(expected: string | undefined, actual: string | undefined, path: string): void {
    if (expected !== undefined && actual !== undefined && actual !== expected)
      this.#faults.push(`${path}: ${expected} is needed, not ${actual}`);
  }

  #isKnown(known: readonly string[], value: string, path: string): void {
    if (known.length > 0 && !known.includes(value))
      this.#faults.push(`${path}: ${value} is not one of ${known.join(", ")}`);
  }

  #constraints({ constraints = {} }: Mapper, value: Value, path: string): void {
    const { InclusiveMinimum: least = -Infinity, InclusiveMaximum: most = Infinity, Pattern: pattern } = constraints;
    if (typeof value === "number" && (value < least || value > most))
      this.#faults.push(`${path}: ${value} is out of range`);
    if (typeof value === "string" && pattern?.test(value) === false) this.#faults.push(`${path}: is not as ${pattern}`);
  }

  #composite(mapper: Mapper, value: Readonly<Record<string, Value>>, path: string): void {
    const model = this.#modelOf(mapper);
    this.#places(this.#placesOf(model), value, path, model.type.additionalProperties !== undefined);
  }

  #modelOf(mapper: Mapper): Mapper {
    const model = mapper.type.modelProperties ? mapper : this.library.mappers[mapper.type.className ?? ""];
    if (model === undefined) throw new Error(`no model ${mapper.type.className}`);
    return model;
  }

  #places(places: Places, value: Readonly<Record<string, Value>>, path: string, isOpen = false): void {
    for (const [key, { mapper, below }] of places) {
      if (Object.hasOwn(value, key)) continue;
      const isNeeded = mapper?.required && !mapper.readOnly;
      if (isNeeded || [...below.values()].some((place) => place.mapper?.required))
        this.#faults.push(`${path}: needs ${key}`);
    }
    for (const [key, one] of Object.entries(value)) {
      const place = places.get(key);
      const where = `${path}.${key}`;
      if (place === undefined) {
        if (!isOpen) this.#faults.push(`${path}: takes no ${key}`);
      } else if (place.mapper?.readOnly) this.#faults.push(`${where}: is read-only`);
      else if (place.mapper) this.#value(place.mapper, one, where, place.known);
      else if (isObject(one)) this.#places(place.below, one, where);
    }
  }

  /** Libraries show some of what is below `properties` as if it stood above. */
  #placesOf({ type: { className = "", modelProperties = {} } }: Mapper): Places {
    const all: Places = new Map();
    for (const [property, mapper] of Object.entries(modelProperties)) {
      const path = (mapper.serializedName ?? property).split(/(?<!\\)\./).map((part) => part.replaceAll("\\", ""));
      let places = all;
      for (const part of path.slice(0, -1)) {
        const place = places.get(part) ?? { below: new Map() };
        places.set(part, place);
        places = place.below;
      }
      places.set(path.at(-1) ?? "", {
        mapper,
        known: () => knownValues(this.library, className, property),
        below: new Map(),
      });
    }
    return all;
  }
}

/** Declarations are long, and the same is asked for again and again. */
const asked = new WeakMap<Library, Map<string, readonly string[]>>();

function knownValues(library: Library, className: string, property: string): readonly string[] {
  const memory = asked.get(library) ?? new Map<string, readonly string[]>();
  asked.set(library, memory);
  const key = `${className}.${property}`;
  const known = memory.get(key) ?? findKnownValues(library.types, className, property);
  memory.set(key, known);
  return known;
}

/** Of a text that is open for values to come, those that this version has. */
function findKnownValues(types: string, className: string, property: string): string[] {
  const model = new RegExp(`interface ${className}\\b[^{]*\\{([\\s\\S]*?)\\n\\}`).exec(types)?.[1] ?? "";
  const type = new RegExp(`^ *(?:readonly )?${property}\\??: (\\w+)(?:\\[\\])?;`, "m").exec(model)?.[1];
  const known = new RegExp(`enum Known${type}\\b[^{]*\\{([\\s\\S]*?)\\n\\}`).exec(types)?.[1] ?? "";
  return [...known.matchAll(/= "([^"]*)"/g)].map(([, value = ""]) => value);
}

const TYPES: Readonly<Record<string, string | undefined>> = {
  Boolean: "bool",
  Composite: "object",
  Dictionary: "object",
  Enum: "string",
  Number: "int",
  Sequence: "array",
  String: "string",
};
const JSON_TYPES: Readonly<Record<string, string | undefined>> = {
  boolean: "bool",
  number: "int",
  object: "object",
  string: "string",
};

function typeOf(value: Value): string | undefined {
  if (value instanceof Unknown) return value.type;
  return isList(value) ? "array" : JSON_TYPES[typeof value];
}

const isList = (value: Value): value is readonly Value[] => Array.isArray(value);

function isObject(value: Value): value is { readonly [key: string]: Value } {
  return (
    typeof value === "object" &&
    value !== null &&
    !isList(value) &&
    !(value instanceof Unknown || value instanceof Either)
  );
}
