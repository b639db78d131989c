/** What a Bicep file calls by name has to be there: in the file itself, in its modules, among the functions. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Node } from "web-tree-sitter";
import { type Bicep, FUNCTIONS, Unknown, type Value } from "./bicep.js";

/** One line for each fault. */
export function faultsInNames(bicep: Bicep, readModule: (file: string) => Bicep): string[] {
  const modules = new Map(
    [...bicep.modules].map(([name, { file }]) => [name, readModule(join(dirname(bicep.file), file))]),
  );
  return [
    ...faultsInUse(bicep),
    ...[...modules].flatMap(([name, module]) => faultsInParams(module, bicep.modules.get(name)?.params ?? {})),
    ...faultsInOutputs(bicep, modules),
    ...faultsInFiles(bicep),
  ].map((fault) => `${bicep.file}: ${fault}`);
}

function faultsInUse({ root }: Bicep): string[] {
  const declared = [...root.descendantsOfType(DECLARATIONS)].flatMap(
    (node) => node?.namedChildren.find(isIdentifier)?.text ?? [],
  );
  const used = root
    .descendantsOfType("identifier")
    .filter((node) => node !== null && isUse(node))
    .map((node) => node?.text ?? "");
  const called = root.descendantsOfType("call_expression").map((node) => node?.childForFieldName("function"));
  const functions = called
    .filter((node) => node?.type === "identifier" && !isInDecorator(node))
    .map((node) => node?.text ?? "");
  const needed = root
    .descendantsOfType(["parameter_declaration", "variable_declaration"])
    .flatMap((node) => node?.namedChildren.find(isIdentifier)?.text ?? []);
  return [
    ...used.filter((name) => !declared.includes(name)).map((name) => `nothing is named ${name}`),
    ...needed.filter((name) => !used.includes(name)).map((name) => `${name} is not used`),
    ...functions.filter((name) => !Object.hasOwn(FUNCTIONS, name)).map((name) => `there is no function ${name}`),
  ];
}

const DECLARATIONS = ["parameter_declaration", "variable_declaration", "resource_declaration", "module_declaration"];

const isIdentifier = (node: Node | null) => node?.type === "identifier";

/** Not where a thing is declared, not a key, not a function. */
function isUse(node: Node): boolean {
  const { parent } = node;
  if (parent === null || isInDecorator(node)) return false;
  if ([...DECLARATIONS, "output_declaration"].includes(parent.type))
    return !node.equals(parent.namedChildren.find(isIdentifier) ?? node);
  if (parent.type === "object_property") return !node.equals(parent.firstNamedChild ?? node);
  if (parent.type === "call_expression") return false;
  return !(parent.type === "resource_expression" && parent.childForFieldName("resource")?.equals(node));
}

function isInDecorator(node: Node): boolean {
  for (let above = node.parent; above !== null; above = above.parent) if (above.type === "decorator") return true;
  return false;
}

export function faultsInParams({ file, params }: Bicep, given: Readonly<Record<string, Value>>): string[] {
  const missing = [...params].filter(([name, { isOptional }]) => !isOptional && !Object.hasOwn(given, name));
  const wrong = Object.entries(given).filter(([name, value]) => {
    const type = params.get(name)?.type;
    const actual = value instanceof Unknown ? value.type : TYPES[typeof value];
    return type !== undefined && actual !== undefined && actual !== type;
  });
  return [
    ...missing.map(([name]) => `${file} needs ${name}`),
    ...Object.keys(given)
      .filter((name) => !params.has(name))
      .map((name) => `${file} takes no ${name}`),
    ...wrong.map(([name]) => `${file} takes another type for ${name}`),
  ];
}

const TYPES: Readonly<Record<string, string | undefined>> = { string: "string", number: "int", boolean: "bool" };

function faultsInOutputs({ root }: Bicep, modules: ReadonlyMap<string, Bicep>): string[] {
  return [...root.text.matchAll(/\b(\w+)\.outputs\.(\w+)/g)]
    .filter(([, module = "", output = ""]) => !modules.get(module)?.outputs.includes(output))
    .map(([text]) => `there is no ${text}`);
}

function faultsInFiles({ file, root }: Bicep): string[] {
  return [...root.text.matchAll(/loadTextContent\('([^']+)'\)/g)]
    .filter(([, path = ""]) => !existsSync(join(dirname(file), path)))
    .map(([, path]) => `there is no file ${path}`);
}
