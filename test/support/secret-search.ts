import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A secret as it may stand somewhere: plain, in base64, and in hex. */
export const formsOf = (secret: string): string[] => [
  secret,
  Buffer.from(secret).toString('base64').replace(/=*$/, ''),
  Buffer.from(secret).toString('hex'),
]

export const holds = (text: Buffer | string, forms: readonly string[]): boolean =>
  forms.some((form) => text.includes(form))

/** Files below the folder that hold one of the forms. */
export function filesWith(folder: string, forms: readonly string[]): string[] {
  const files = globSync('**/*', { cwd: folder, withFileTypes: true }).filter((entry) => entry.isFile())
  assert.ok(files.length > 0, 'there are files')
  return files
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((path) => holds(bytesOf(path), forms))
}

/** The file's content; nothing where it has gone meanwhile. */
function bytesOf(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return Buffer.alloc(0)
  }
}
