import { existsSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Returns the file of an Errand program that runs as its own process: `source` beside the module that starts it (in
 * `folder`, its `import.meta.dirname`), otherwise `bundle` where the build has put it, beside the bundles or above
 * their parts.
 */
export function ownProgram(folder: string, source: string, bundle: string): string {
  const files = [source, bundle, join('..', bundle)].map((name) => join(folder, name))
  return files.find((file) => existsSync(file)) ?? files[1]!
}
