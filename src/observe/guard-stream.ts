import type { Redact } from "./redact.js";

/** What is written to: standard error, or something like it. */
interface Output {
  write(chunk: string | Uint8Array, ...rest: unknown[]): boolean;
}

/**
 * Has all that is written to a stream redacted first. Libraries have reports of their own, which quote what they sent and got:
 * AZURE_LOG_LEVEL and DEBUG turn them on. `redact` is asked for each time, as secrets become known with the configuration.
 */
export function guardStream(stream: Output, redact: () => Redact): void {
  const write = stream.write.bind(stream);
  stream.write = (chunk, ...rest) => {
    const callback = rest.find((argument) => typeof argument === "function");
    return write(redact()(typeof chunk === "string" ? chunk : Buffer.from(chunk).toString()), callback);
  };
}
