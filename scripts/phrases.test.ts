import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseAst } from 'vite'

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
  [/\bgood once\b/i, 'valid for one use'],
  [/\bnewest tr(?:y|ies)\b/i, 'latest attempt'],
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

interface Node {
  type: string
  start: number
  [field: string]: unknown
}

/** Returns the texts of a file of code that a person may read, each with its offset: all strings of two words or more. */
function textsOf(file: string, source: string): { text: string; at: number }[] {
  const found: { text: string; at: number }[] = []
  const take = (text: unknown, at: number) => {
    if (typeof text === 'string' && /\S\s+\S/.test(text)) found.push({ text, at })
  }
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) for (const one of value) visit(one)
    if (typeof value !== 'object' || value === null || !('type' in value)) return
    const node = value as Node
    if (node.type === 'Literal' || node.type === 'JSXText') take(node.value, node.start)
    if (node.type === 'TemplateElement') take((node.value as { cooked: string }).cooked, node.start)
    for (const [name, field] of Object.entries(node))
      if (name !== 'value' || node.type !== 'Literal') visit(field)
  }
  visit(parseAst(source, { lang: file.endsWith('x') ? 'tsx' : 'ts' }, file).body)
  return found
}

/** Returns what is wrong in the texts of a file of code, as `file:line: phrase (instead)`. */
function wrongInCode(file: string, source: string): string[] {
  return textsOf(file, source).flatMap(({ text, at }) =>
    PHRASES.flatMap(([not, instead]) =>
      [...text.matchAll(new RegExp(not, `${not.flags}gm`))].map(
        ({ 0: phrase }) => `${file}:${source.slice(0, at).split('\n').length}: "${phrase}" (${instead})`,
      ),
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

test('a phrase is found with its line, and code does not count as prose', () => {
  const page =
    'A run.\n\n```sh\nerrand up # begin anew\n```\n\nThe run goes on. `is no JSON`\nThere is no queue. "a" is no run.\n'
  assert.deepEqual(wrongIn('a.md', page), ['a.md:8: "is no " (is not a)', 'a.md:7: "goes on" (continue)'])
})

test('the texts of the CLI, the API, the page and all messages are in plain English', () => {
  const files = globSync('{src,web}/**/*.{ts,tsx}', { cwd: root })
    .filter((file) => !/\.test\.tsx?$/.test(file))
    .toSorted()
  assert.ok(files.length > 900)
  assert.deepEqual(
    files.flatMap((file) => wrongInCode(file, readFileSync(join(root, file), 'utf8'))),
    [],
  )
})

test('a phrase in code is found with its line in strings, templates and text between tags, but not in comments', () => {
  const source =
    "// It goes on.\nconst a = 'x is no file'\nconst b = `\n${a} goes on`\nconst c = <p>It is told.</p>\nconst d = 'told'\n"
  assert.deepEqual(wrongInCode('a.tsx', source), [
    'a.tsx:2: "is no " (is not a)',
    'a.tsx:4: "goes on" (continue)',
    'a.tsx:5: "is told" (is reported, learns)',
  ])
})
