/**
 * Returns the address of the hub, as commands and links have it. A browser on its machine may have opened the one that stands for
 * all of its addresses, which no other program can be told to go to.
 */
export const hubAddress = (origin: string, basePath: string): string =>
  `${origin.replace(/\/\/(?:0\.0\.0\.0|\[::\])(?=:|$)/, '//127.0.0.1')}${basePath}`
