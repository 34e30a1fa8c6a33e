import { ErrandError } from '../../../contract/errors.ts'

const LINE_CHARACTERS = 1000

export interface RequirementLine {
  text: string
  /** Where it stands, for errors. */
  place: string
}

/** Returns what a list asks for, without blank lines and comments. Throws `source_refused` for what is more than one line. */
export function requirementLines(list: readonly string[], file: string): RequirementLine[] {
  return list.flatMap((raw, index) => {
    const place = `Line ${index + 1} of ${file}`
    const text = raw
      .replace(/(?:^|\s)#.*$/, '')
      .replace(/\s+/g, ' ')
      .trim()
    const line = { text, place }
    if (/[^\P{Cc}\t]/u.test(raw) || /[\u2028\u2029]/.test(raw))
      throw refusedRequirement(
        line,
        'has a line break or control character in it',
        'Write each requirement as a line of its own.',
      )
    if (text.length > LINE_CHARACTERS)
      throw refusedRequirement(line, `is longer than ${LINE_CHARACTERS} characters`, 'Shorten it.')
    return text === '' ? [] : [line]
  })
}

export function refusedRequirement({ text, place }: RequirementLine, why: string, hint: string): ErrandError {
  return new ErrandError('source_refused', `${place} ${why}: ${JSON.stringify(text.slice(0, 200))}.`, {
    hint,
  })
}
