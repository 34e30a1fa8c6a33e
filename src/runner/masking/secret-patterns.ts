import { posix } from 'node:path'
import { base64Forms, hexForms, jsonForms, urlForms } from './forms/encoded-forms.ts'
import { markupForms } from './forms/markup-forms.ts'
import { quotedForms } from './forms/quoted-forms.ts'
import { revealingParts } from './revealing-lines.ts'
import { joinWrappedLines, WRAPPED_RUN_BYTES } from './wrapped-lines.ts'

/** Limit in bytes; shorter values occur in texts by chance, and masking them would reveal them. */
export const MIN_SECRET_BYTES = 6
/**
 * Limit in bytes; longer values are masked only in their plain form: all forms of a value take up to 5,000 times its
 * size in memory.
 */
export const MAX_WHOLE_BYTES = 8 * 1024
/** Limit in bytes; a shorter line of a secret may be a bracket or a word that occurs elsewhere too. */
const MIN_LINE_BYTES = 8

const PEM_BOUNDARY = /^-----(BEGIN|END) [A-Z0-9 ]+-----$/

/**
 * Returns the number of bytes that count for the limits: without line breaks, which may be left out, and without blanks
 * at both ends.
 */
export function secretBytes(value: string): number {
  return Buffer.byteLength(value.trim().replaceAll(/[\r\n]/g, ''))
}

/**
 * Rule for the lines of a value with several lines: search each (`every`), or only those that ordinary files do not
 * have (`revealing`).
 */
export type LineRule = 'every' | 'revealing'

/**
 * Returns every form in which a secret is masked, as it reads once wrapped lines are joined. Each has 6 bytes or more.
 */
export function secretPatterns(value: string, rule: LineRule = 'every'): Buffer[] {
  const isLong = secretBytes(value) > MAX_WHOLE_BYTES
  const lines = secretLines(value)
  const forms = isLong ? [value.trim()] : [...new Set([value, value.trim()])].flatMap(wholeForms)
  if (isLong || lines.length > 1) {
    const parts = rule === 'every' ? lines.filter(isLongEnough) : revealingParts(lines.filter(isLongEnough))
    forms.push(...parts.flatMap(textForms))
  }
  const patterns = new Map<string, Buffer>()
  for (const form of new Set(forms))
    for (const pattern of joinedForms(form)) patterns.set(pattern.toString('latin1'), pattern)
  return [...patterns.values()]
}

function wholeForms(value: string): string[] {
  const bytes = Buffer.from(value)
  return [...textForms(value), ...hexForms(bytes), ...base64Forms(bytes), ...urlForms(bytes)]
}

const textForms = (text: string): string[] =>
  [text, ...pathForms(text)].flatMap((form) => [
    form,
    ...jsonForms(form),
    ...quotedForms(form),
    ...markupForms(form),
  ])

/** Returns its forms as a part of a shortened path: without `//`, `/./`, `x/../` and a slash at the end. */
function pathForms(text: string): string[] {
  if (!text.includes('/')) return []
  const form = posix.normalize(text).replace(/^(?:\.\.\/)+|\/$/g, '')
  return form === text || Buffer.byteLength(form.trim()) < MIN_SECRET_BYTES ? [] : [form]
}

const secretLines = (value: string) =>
  value
    .trim()
    .split(/\r\n|\n|\r/)
    .map((line) => line.trim())

/** Reports whether a line is long enough, and more than the kind of a key. */
const isLongEnough = (line: string) => Buffer.byteLength(line) >= MIN_LINE_BYTES && !PEM_BOUNDARY.test(line)

/**
 * Returns a form as it reads in a joined text. The text before it decides whether the break after its first line is
 * left out there, so there may be two forms.
 */
function joinedForms(form: string): Buffer[] {
  const raw = Buffer.from(form.replace(/^[\r\n]+/, ''))
  return [0, WRAPPED_RUN_BYTES].map((runBefore) => {
    const { bytes, length } = joinWrappedLines(raw, runBefore)
    return Buffer.from(bytes.subarray(0, length))
  })
}
