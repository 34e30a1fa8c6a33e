import { secretPatterns } from '../../src/runner/masking/secret-patterns.ts'

/**
 * Defines masking without regard to speed or chunks. A CR before an LF, and a line break after 16 bytes without a
 * blank, do not count. Every byte of every occurrence of every pattern is covered. Each stretch that is covered
 * without a gap becomes one `***`.
 */
export function maskWholeText(secrets: readonly string[], text: Buffer): Buffer {
  const raw = text.toString('latin1')
  const places = [...raw].map((_, index) => index).filter((index) => !isLeftOut(raw, index))
  const joined = places.map((index) => raw[index]).join('')
  const covered = new Array<boolean>(raw.length).fill(false)
  for (const secret of secrets)
    for (const pattern of secretPatterns(secret).map((bytes) => bytes.toString('latin1')))
      for (let at = joined.indexOf(pattern); at >= 0; at = joined.indexOf(pattern, at + 1))
        covered.fill(true, places[at]!, places[at + pattern.length - 1]! + 1)
  let masked = ''
  for (let at = 0; at < raw.length; at++) {
    if (!covered[at]) masked += raw[at]
    else if (!covered[at - 1]) masked += '***'
  }
  return Buffer.from(masked, 'latin1')
}

function isLeftOut(raw: string, index: number): boolean {
  if (raw[index] === '\r') return raw[index + 1] === '\n'
  if (raw[index] !== '\n') return false
  const line = raw.slice(0, index).replace(/\r$/, '')
  return /[^\x00-\x20]{16}$/.test(line)
}
