/** For `codegen.yml`, which names a module: `__typename` in every selection, by codegen's own transform. */
import { addTypenameSelectionDocumentTransform } from "@graphql-codegen/client-preset";
import { disableFragmentWarnings } from "graphql-tag";

// Codegen reads each fragment in both forms, with it and without, and would warn of two fragments of one name.
disableFragmentWarnings();

export const { transform } = addTypenameSelectionDocumentTransform;
