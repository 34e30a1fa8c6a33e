import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Returns a secret in the forms it may have: plain, base64 and hex. */
export const formsOf = (secret: string): string[] => [
  secret,
  Buffer.from(secret).toString('base64').replace(/=*$/, ''),
  Buffer.from(secret).toString('hex'),
]

export const holds = (text: Buffer | string, forms: readonly string[]): boolean =>
  forms.some((form) => text.includes(form))

/** Returns the files below the folder that contain one of the forms. */
export function filesWith(folder: string, forms: readonly string[]): string[] {
  const files = globSync('**/*', { cwd: folder, withFileTypes: true }).filter((entry) => entry.isFile())
  assert.ok(files.length > 0, 'there are files')
  return files
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((path) => holds(bytesOf(path), forms))
}

/** Returns the file's content, or nothing if the file is gone meanwhile. */
function bytesOf(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return Buffer.alloc(0)
  }
}
