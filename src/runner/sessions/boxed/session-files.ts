import { lstatSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'

/**
 * Writes a file, mode 0600, below the home of a session that no agent is in at the moment. An agent may have left
 * anything there: whatever is in the way, even a link to another place, is replaced and never followed.
 */
export function writeBelow(home: string, path: string, content: string | Uint8Array): void {
  const below = relative(home, dirname(path))
  if (below.startsWith('..')) throw new Error(`${path} is not below ${home}`)
  let folder = home
  for (const name of below.split(sep)) {
    folder = join(folder, name)
    makeReal(folder)
  }
  rmSync(path, { recursive: true, force: true })
  writeFileSync(path, content, { mode: 0o600, flag: 'wx' })
}

/** Makes a folder below the home of a session; replaces anything there that is not a folder. */
export function makeBelow(home: string, name: string): string {
  const path = join(home, name)
  makeReal(path)
  return path
}

function makeReal(folder: string): void {
  const stat = lstatSync(folder, { throwIfNoEntry: false })
  if (stat?.isDirectory()) return
  if (stat) rmSync(folder)
  mkdirSync(folder, { mode: 0o700 })
}
