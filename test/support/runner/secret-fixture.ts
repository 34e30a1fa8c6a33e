import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SecretUse } from '../../../src/contract/step-secrets.ts'

/** Secrets, what real programs make of them, and searching for leaked parts of them. */

export const fromHub = (name: string, as: SecretUse['as'] = 'env'): SecretUse => ({ from: 'hub', name, as })

export const token = `tok//${randomBytes(18).toString('base64')}&ü"x`
export const key = generateKeyPairSync('ec', {
  namedCurve: 'P-256',
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
}).privateKey

/** Everything that must not be found: the values in each form, and the lines of the key. */
export const forms: readonly string[] = [token, key.trim()]
  .flatMap((value) => [
    value,
    Buffer.from(value).toString('base64').replace(/=+$/, ''),
    Buffer.from(value).toString('base64url'),
    Buffer.from(value).toString('hex'),
    encodeURIComponent(value),
    JSON.stringify(value).slice(1, -1),
  ])
  .concat(
    key
      .trim()
      .split('\n')
      .filter((line) => !line.startsWith('-----')),
  )

/** Prints `$TOKEN` and `$KEY` in each of these forms, on both streams, with Node as the encoder. */
export const printForms = `${process.execPath} -e '
  for (const value of [process.env.TOKEN, process.env.KEY])
    for (const out of [process.stdout, process.stderr]) {
      const bytes = Buffer.from(value)
      out.write("plain " + value + "\\n")
      for (const form of ["base64", "base64url", "hex"]) out.write(form + " " + bytes.toString(form) + "\\n")
      out.write("url " + encodeURIComponent(value) + "\\n" + "json " + JSON.stringify({ value }) + "\\n")
    }
'`

/** Returns the forms that the text contains. */
export const found = (text: string): string[] => forms.filter((form) => text.includes(form))

/** Returns the files below the folder that contain one of the forms. */
export function filesWithSecrets(folder: string, but: (path: string) => boolean = () => false): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (but(path)) return []
    if (entry.isDirectory()) return filesWithSecrets(path, but)
    return entry.isFile() && found(readFileSync(path, 'utf8')).length > 0 ? [path] : []
  })
}
