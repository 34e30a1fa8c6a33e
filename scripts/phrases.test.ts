import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '..')

/** Phrases that no text for people has, each with what to write instead. */
const PHRASES: readonly (readonly [not: RegExp, instead: string])[] = [
  [/\banew\b/, 'again, or a verb: recreate, restart'],
  [/\b(?:is|are|was|were|be|been) told\b/, 'is reported, learns'],
  [/(?<!there )\b(?:is|are) no (?!longer\b|more\b|different\b)/i, 'is not a'],
  [/\bmend(?:s|ed|ing)?\b/, 'fix'],
  [/\bgo(?:es)? on\b/, 'continue'],
  [/\bcarr(?:y|ies|ied) (?:it |them )?out\b/, 'run, do'],
  [/\bstands? (?:there|in|beside|above|below|under|at|on|behind)\b/, 'is in, is on'],
  [/\b(?:take|takes|taken|took) up (?!to\b)/, 'resume, pick up'],
  [/\blets? go\b/, 'release'],
  [/\bmade (?:runner|group|token)s?\b/, 'provisioned'],
  [/\bwhat (?:is|was) (?:refused|large|new|gone|kept|said|told|given)\b/, 'name the thing'],
  [/\bso (?:many|much) (?:\w+ )?(?:at once|of)\b/, 'give the number'],
  [/\bended success\b/, 'succeeded'],
  [/\bbe it\b/, 'whether'],
]

/** Blanks out what is not prose, and keeps the lines: blocks and spans of code, and addresses of links. */
function proseOf(markdown: string): string {
  const blank = (text: string) => text.replaceAll(/[^\n]/g, ' ')
  return markdown
    .replaceAll(/^ *```[\s\S]*?^ *```/gm, blank)
    .replaceAll(/`[^`]*`/g, blank)
    .replaceAll(/\]\([^)]*\)/g, blank)
}

/** Returns what is wrong in a page of Markdown, as `file:line: phrase (instead)`. */
function wrongIn(file: string, markdown: string): string[] {
  const prose = proseOf(markdown)
  return PHRASES.flatMap(([not, instead]) =>
    [...prose.matchAll(new RegExp(not, `${not.flags}gm`))].map(
      ({ index, 0: phrase }) =>
        `${file}:${prose.slice(0, index).split('\n').length}: "${phrase}" (${instead})`,
    ),
  )
}

test('the pages for people are in plain English', () => {
  const pages = globSync(['*.md', 'docs/**/*.md', 'deploy/**/*.md', 'examples/**/*.md'], {
    cwd: root,
  }).toSorted()
  assert.ok(pages.length > 30)
  assert.deepEqual(
    pages.flatMap((page) => wrongIn(page, readFileSync(join(root, page), 'utf8'))),
    [],
  )
})

test('a phrase is found with its line, and code is no prose', () => {
  const page =
    'A run.\n\n```sh\nerrand up # begin anew\n```\n\nThe run goes on. `is no JSON`\nThere is no queue. "a" is no run.\n'
  assert.deepEqual(wrongIn('a.md', page), ['a.md:8: "is no " (is not a)', 'a.md:7: "goes on" (continue)'])
})
