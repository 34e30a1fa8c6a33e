/**
 * Returns the address of the hub for use in commands and links. A browser on the hub's machine may have opened the
 * wildcard address (`0.0.0.0` or `[::]`), which other programs cannot connect to; it becomes `127.0.0.1`.
 */
export const hubAddress = (origin: string, basePath: string): string =>
  `${origin.replace(/\/\/(?:0\.0\.0\.0|\[::\])(?=:|$)/, '//127.0.0.1')}${basePath}`
