import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

export interface Block {
  /** The language: `sh`, `yaml` … */
  kind: string
  text: string
}

/**
 * Returns the fenced blocks of a document of the project, in order: all of them, or those of the section with that
 * heading.
 */
export function blocksOf(document: string, heading?: string): Block[] {
  const page = readFileSync(join(root, document), 'utf8')
  const part = heading === undefined ? page : partOf(page, heading)
  return [...part.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, kind, text]) => ({
    kind: kind!,
    text: text!,
  }))
}

function partOf(page: string, heading: string): string {
  const begin = `\n## ${heading}\n`
  assert.ok(page.includes(begin), `there is no section "${heading}"`)
  return page.split(begin)[1]!.split('\n## ')[0]!
}

/** Returns the text with each of the words replaced. Every word must be in the text. */
export function withWords(text: string, words: Readonly<Record<string, string>>): string {
  return Object.entries(words).reduce((done, [word, other]) => {
    assert.ok(done.includes(word), `"${word}" is not in:\n${done}`)
    return done.replaceAll(word, other)
  }, text)
}
