import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseAst } from 'vite'

const root = join(import.meta.dirname, '..')

/** Matches words of the API, which must not be in texts for people. */
const API_WORDS =
  /\b(?:Authorization|Bearer|csrf|stdin_offset)\b|\b(?:GET|POST|PUT|PATCH|DELETE|HTTP)\b|\bstatus (?:code )?[1-5]\d\d\b|\b[a-z]+(?:_[a-z]+)+\b/

interface PageText {
  text: string
  at: number
}
interface Node {
  type: string
  start: number
  [field: string]: unknown
}

/** Returns the texts of a file that a person may read: between tags, and strings of more than a word. */
function textsOf(file: string, source: string): PageText[] {
  const found: PageText[] = []
  const take = (text: string, at: number, isBetweenTags: boolean) => {
    const words = text.trim()
    if (words !== '' && (isBetweenTags || /\s/.test(words) || words !== text)) found.push({ text: words, at })
  }
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) for (const one of value) visit(one)
    if (typeof value !== 'object' || value === null || !('type' in value)) return
    const node = value as Node
    if (node.type === 'ImportDeclaration' || node.type === 'ImportExpression') return
    if (node.type === 'JSXAttribute' && (node.name as { name: string }).name === 'className') return
    if (node.type === 'JSXText') take(node.value as string, node.start, true)
    if (node.type === 'Literal' && typeof node.value === 'string') take(node.value, node.start, false)
    if (node.type === 'TemplateElement') take((node.value as { cooked: string }).cooked, node.start, false)
    for (const [name, field] of Object.entries(node))
      if (name !== 'value' || node.type !== 'Literal') visit(field)
  }
  visit(parseAst(source, { lang: file.endsWith('x') ? 'tsx' : 'ts' }, file).body)
  return found
}

const wrongOf = (file: string, source: string): string[] =>
  textsOf(file, source)
    .filter(({ text }) => API_WORDS.test(text))
    .map(({ text, at }) => `${file}:${source.slice(0, at).split('\n').length}: ${text}`)

/** Matches files whose subject is the API: they copy commands or requests. */
const ABOUT_THE_API = /^web\/(?:data\/as-command|palette\/copy-commands|runners\/enrol-commands)\.ts$/

test("the page's strings contain no words of the API", () => {
  const files = globSync('web/**/*.{ts,tsx}', { cwd: root })
    .filter((file) => !/\.test\.ts$|^web\/styleguide\//.test(file) && !ABOUT_THE_API.test(file))
    .toSorted()
  assert.ok(files.length > 100)
  assert.deepEqual(
    files.flatMap((file) => wrongOf(file, readFileSync(join(root, file), 'utf8'))),
    [],
  )
})

test('finds wrong words in tags, attributes and templates', () => {
  const wrong = [
    'const a = <p>Send Authorization: Bearer</p>',
    'const a = <p>exit_code</p>',
    "const a = <p title='Ask with POST'>x</p>",
    'const a = `the field ${1} last_error_line`',
    "const a = 'The hub answered with status 502.'",
  ]
  for (const source of wrong) assert.equal(wrongOf('a.tsx', source).length, 1, source)
  const right = [
    "ask('POST', '/api/runs')",
    "const a = { next_cursor: 'next_cursor' }",
    'const a = <p className="a_b c">x</p>',
  ]
  for (const source of right) assert.deepEqual(wrongOf('a.tsx', source), [], source)
})
