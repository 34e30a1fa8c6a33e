import { closeSync, openSync, readSync } from 'node:fs'

/** Digits of numbers to the base 32, in the order in which they sort. */
export const digits32 = '0123456789abcdefghijklmnopqrstuv'

/** Characters of chance that nobody can guess, 5 bits each. */
export function randomText(characters: number): string {
  let text = ''
  for (const byte of randomBytes(characters)) text += digits32[byte & 31]
  return text
}

/** From the kernel itself: to load Node's cryptography takes as long as to check a workflow. */
function randomBytes(count: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count)
  try {
    const device = openSync('/dev/urandom', 'r')
    try {
      if (readSync(device, bytes) === count) return bytes
    } finally {
      closeSync(device)
    }
  } catch {
    // There is none here, or no descriptor is left.
  }
  return crypto.getRandomValues(bytes)
}
