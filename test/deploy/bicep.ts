/**
 * Bicep files as values. The text is parsed by tree-sitter's grammar of Bicep, in WebAssembly; what is known only when it
 * is deployed stays an `Unknown`, with its type where that can be told.
 */
import { readFileSync } from "node:fs";
import { Language, type Node, Parser } from "web-tree-sitter";

type Type = "string" | "int" | "bool" | "object" | "array";

/** A value that is not known before it is deployed. */
export class Unknown {
  constructor(readonly type: Type | undefined) {}
}
/** One of several. */
export class Either {
  constructor(readonly values: readonly Value[]) {}
}
export type Value =
  | string
  | number
  | boolean
  | null
  | Unknown
  | Either
  | readonly Value[]
  | { readonly [key: string]: Value };

export interface Resource {
  readonly type: string;
  readonly version: string;
  readonly isExisting: boolean;
  readonly body: Value;
}
interface Module {
  readonly file: string;
  readonly params: Readonly<Record<string, Value>>;
}
interface Parameter {
  readonly type: Type | undefined;
  readonly isOptional: boolean;
  readonly decorators: readonly string[];
}
export interface Bicep {
  readonly file: string;
  readonly root: Node;
  readonly params: ReadonlyMap<string, Parameter>;
  readonly resources: ReadonlyMap<string, Resource>;
  readonly modules: ReadonlyMap<string, Module>;
  readonly variables: ReadonlyMap<string, Value>;
  readonly outputs: readonly string[];
}

await Parser.init();
const parser = new Parser();
parser.setLanguage(await Language.load("node_modules/tree-sitter-bicep/tree-sitter-bicep.wasm"));

/** Throws a `SyntaxError` that names the line. */
function parseBicep(file: string, text: string): Node {
  const tree = parser.parse(text);
  if (tree === null) throw new Error(`${file}: not parsed`);
  const fault = tree.rootNode.descendantsOfType("ERROR")[0] ?? (tree.rootNode.hasError ? tree.rootNode : undefined);
  if (fault) throw new SyntaxError(`${file}:${fault.startPosition.row + 1}: not Bicep: ${fault.text.split("\n")[0]}`);
  return tree.rootNode;
}

export function readBicep(file: string, text = readFileSync(file, "utf8")): Bicep {
  return new Reader(file, parseBicep(file, text)).read();
}

class Reader {
  readonly #params = new Map<string, Parameter>();
  readonly #variables = new Map<string, Node>();
  readonly #resources = new Map<string, Resource>();
  readonly #modules = new Map<string, Module>();
  readonly #allowed = new Map<string, Value>();

  constructor(
    readonly file: string,
    readonly root: Node,
  ) {}

  read(): Bicep {
    const statements = this.root.namedChildren.filter((node) => node !== null);
    statements.forEach((node, index) => {
      const name = nameOf(node);
      if (node.type === "parameter_declaration") this.#addParameter(name, node, statements[index - 1]);
      if (node.type === "variable_declaration") this.#variables.set(name, lastOf(node));
    });
    for (const node of this.root.descendantsOfType("resource_declaration")) if (node) this.#addResource(node);
    for (const node of statements.filter(({ type }) => type === "module_declaration")) this.#addModule(node);
    return {
      file: this.file,
      root: this.root,
      params: this.#params,
      resources: this.#resources,
      modules: this.#modules,
      variables: new Map([...this.#variables].map(([name, node]) => [name, this.#value(node)])),
      outputs: statements.filter(({ type }) => type === "output_declaration").map(nameOf),
    };
  }

  #addParameter(name: string, node: Node, before: Node | undefined): void {
    const decorators = before?.type === "decorators" ? before.namedChildren.filter((child) => child !== null) : [];
    for (const decorator of decorators) {
      const list = decorator.descendantsOfType("array")[0];
      if (decorator.text.startsWith("@allowed(") && list) this.#allowed.set(name, new Either(this.#items(list)));
    }
    const type = node.descendantsOfType("primitive_type")[0]?.text as Type | undefined;
    this.#params.set(name, {
      type,
      isOptional: node.children.some((child) => child?.type === "="),
      decorators: decorators.map(({ text }) => text),
    });
  }

  #addResource(node: Node): void {
    const [type = "", version = ""] = this.#text(node.namedChildren[1]).split("@");
    const isExisting = node.children.some((child) => child?.type === "existing");
    this.#resources.set(nameOf(node), { type, version, isExisting, body: this.#value(lastOf(node)) });
  }

  #addModule(node: Node): void {
    const { params = {} } = this.#value(lastOf(node)) as { params?: Module["params"] };
    this.#modules.set(nameOf(node), { file: this.#text(node.namedChildren[1]), params });
  }

  #text(node: Node | null | undefined): string {
    const value = node ? this.#value(node) : undefined;
    if (typeof value !== "string") throw new SyntaxError(`${this.file}: a plain text is needed: ${node?.text}`);
    return value;
  }

  #value(node: Node): Value {
    switch (node.type) {
      case "string":
        return isInterpolated(node) ? new Unknown("string") : node.text.slice(1, -1).replace(/\\(.)/g, "$1");
      case "number":
        return Number(node.text);
      case "boolean":
        return node.text === "true";
      case "null":
        return null;
      case "array":
        return this.#items(node);
      case "object":
        return this.#object(node);
      case "identifier":
        return this.#named(node.text);
      case "ternary_expression":
        return new Either(
          ["consequence", "alternative"].map((field) => this.#value(node.childForFieldName(field) ?? node)),
        );
      case "call_expression":
        return new Unknown(FUNCTIONS[node.childForFieldName("function")?.text ?? ""]);
      default:
        return new Unknown(undefined);
    }
  }

  #items(node: Node): Value[] {
    return node.namedChildren
      .filter((child) => child !== null && child.type !== "comment")
      .map((child) => this.#value(child as Node));
  }

  #object(node: Node): Value {
    const properties = node.namedChildren.filter(
      (child) => child?.type === "object_property" && child.namedChildCount > 1,
    );
    return Object.fromEntries(
      properties.map((property) => {
        const [key, value] = [property?.firstNamedChild, property?.lastNamedChild];
        return [key?.text.replace(/^'|'$/g, "") ?? "", value ? this.#value(value) : null];
      }),
    );
  }

  #named(name: string): Value {
    const variable = this.#variables.get(name);
    if (variable) return this.#value(variable);
    return this.#allowed.get(name) ?? new Unknown(this.#params.get(name)?.type);
  }
}

/** What stands at a path of a value. */
export function at(value: Value | undefined, ...path: readonly (string | number)[]): Value | undefined {
  return path.reduce<Value | undefined>((found, key) => (found as Record<string, Value> | undefined)?.[key], value);
}

/** What those that we use answer; a function that is not here is a fault. */
export const FUNCTIONS: Readonly<Record<string, Type | undefined>> = {
  empty: "bool",
  guid: "string",
  json: undefined,
  loadTextContent: "string",
  readEnvironmentVariable: "string",
  resourceGroup: "object",
  string: "string",
  subscriptionResourceId: "string",
  take: undefined,
  tenant: "object",
  uniqueString: "string",
  uriComponent: "string",
};

const nameOf = (node: Node) => node.namedChildren.find((child) => child?.type === "identifier")?.text ?? "";

function lastOf(node: Node): Node {
  const last = node.lastNamedChild;
  if (last === null) throw new SyntaxError(`nothing in ${node.text}`);
  return last;
}

const isInterpolated = (node: Node) => node.namedChildren.some((child) => child?.type === "interpolation");
