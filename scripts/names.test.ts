import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import test from 'node:test'
import { parseAst } from 'vite'

const root = join(import.meta.dirname, '..')

/** Words that no declared name and no file name has, each with what to write instead. */
const WORDS: readonly (readonly [words: string, instead: string])[] = [
  ['told tell tells telling teller untold retell', 'report, send, notify'],
  ['kept keeps unkept', 'stored, cached, retained'],
  ['given', 'the name of the value: input, options, address'],
  ['asked asks asker', 'request, question, requester'],
  ['said says', 'output, message, reply'],
  ['heard hears hear hearing', 'received, receive'],
  ['wanted wants', 'requested, expected, needs'],
  ['looked looks', 'checked, checks'],
  ['carry carried carries', 'execute, copy, packaged'],
  ['mend mended mends', 'fix, repair'],
  ['stood standing', 'status, current'],
  ['thing things', 'resource, object'],
  ['recall', 'restore'],
  ['brought whence therein anew', 'plain English: dropped, origin, restart'],
  ['cage door doors doorbell', 'scope, limiter, entry point'],
  ['farewell hurry patient', 'shutdown, deadline, retrying'],
]

/** Parts of names that no name has, although each of their words is fine. */
const PHRASES: readonly (readonly [name: RegExp, instead: string])[] = [
  [/^(?:takeUp|takeIn|letGo|lastWords)$/, 'resume, restore, release, lastOutput'],
  [/^(?:inTurn|byTurns|oneByOne|one-by-one|Turns)$/, 'queued, alternate, serialized, a kind of slots'],
  [/^(?:Place|Places|Found|Seen)$/, 'what it is: a position, a scope, a result'],
  [/^Whole[A-Z]/, 'RunDetail, TaskDetail'],
  [/^madeBox$/, 'provisionedBox'],
]

interface Exception {
  name: RegExp
  /** Matches the files that may have it. */
  files: RegExp
  why: string
}
const EXCEPTIONS: readonly Exception[] = [
  { name: /^git-?carry/i, files: /^(?:src|test)\//, why: 'the action `git.carry` of workflows' },
  { name: /^given-?secrets$/i, files: /^src\//, why: 'a class that programs import from the library' },
  { name: /^asks_reading$/, files: /^test\//, why: 'the setting `asks_reading`' },
  { name: /^inTurn$/, files: /^src\/(?:agents|runner\/sessions)\//, why: "an agent's turn, a term" },
  { name: /^patient$/, files: /\.test\.ts$/, why: 'a client that waits, in two tests' },
]

interface Node {
  type: string
  start: number
  [field: string]: unknown
}
interface Declared {
  name: string
  at: number
}

/** Returns the words of a name, in lower case. */
const wordsOf = (name: string): string[] =>
  (name.match(/[A-Z]+(?![a-z])|[A-Z]?[a-z]+/g) ?? []).map((word) => word.toLowerCase())

/**
 * Returns the names that a file declares. A field has no part in it, as it may be on a wire or on a disk, nor has a
 * variable that is destructured under the name of its field.
 */
function declaredIn(file: string, source: string): Declared[] {
  const declared: Declared[] = []
  const bind = (value: unknown): void => {
    const node = value as Node | null
    if (node?.type === 'Identifier') declared.push({ name: node.name as string, at: node.start })
    if (node?.type === 'RestElement') bind(node.argument)
    if (node?.type === 'AssignmentPattern') bind(node.left)
    if (node?.type === 'TSParameterProperty') bind(node.parameter)
    if (node?.type === 'ArrayPattern') for (const each of node.elements as Node[]) bind(each)
    if (node?.type === 'ObjectPattern')
      for (const each of node.properties as Node[]) {
        if (each.type === 'RestElement') bind(each)
        else if (!each.shorthand) bind(each.value)
      }
  }
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) for (const each of value) visit(each)
    if (typeof value !== 'object' || value === null || !('type' in value)) return
    const node = value as Node
    if (/^(?:Import\w*Specifier)$/.test(node.type)) bind(node.local)
    else if (node.type === 'CatchClause') bind(node.param)
    else if (node.type === 'MethodDefinition' && !node.computed) bind(node.key)
    else bind(node.id)
    const key = node.key as Node | undefined
    if (key?.type === 'PrivateIdentifier') declared.push({ name: key.name as string, at: key.start })
    if (Array.isArray(node.params)) for (const each of node.params) bind(each)
    for (const field of Object.values(node)) visit(field)
  }
  visit(parseAst(source, { lang: file.endsWith('x') ? 'tsx' : 'ts' }, file).body)
  return declared
}

/** Returns what to write instead of a name, or undefined when it is fine. */
function insteadOf(file: string, name: string): string | undefined {
  if (EXCEPTIONS.some((each) => each.name.test(name) && each.files.test(file))) return undefined
  const words = wordsOf(name)
  return (
    PHRASES.find(([phrase]) => phrase.test(name))?.[1] ??
    WORDS.find(([some]) => some.split(' ').some((word) => words.includes(word)))?.[1]
  )
}

/** Returns what is wrong in a file, as `file:line: name (instead)`. */
function wrongIn(file: string, source: string): string[] {
  const names = [{ name: basename(file).replace(/\..*$/, ''), at: 0 }, ...declaredIn(file, source)]
  return names.flatMap(({ name, at }) => {
    const instead = insteadOf(file, name)
    return instead === undefined
      ? []
      : [`${file}:${source.slice(0, at).split('\n').length}: ${name} (${instead})`]
  })
}

test('declared names and files have the words of the field', () => {
  const files = globSync('{src,web,scripts,test,bench}/**/*.{ts,tsx}', { cwd: root }).toSorted()
  assert.ok(files.length > 1000)
  assert.deepEqual(
    files.flatMap((file) => wrongIn(file, readFileSync(join(root, file), 'utf8'))),
    [],
  )
})

test('each exception is used and has a reason, and there are at most 20', () => {
  const files = globSync('{src,web,scripts,test,bench}/**/*.{ts,tsx}', { cwd: root }).toSorted()
  assert.ok(EXCEPTIONS.length <= 20)
  const unused = new Set(EXCEPTIONS)
  for (const file of files) {
    const here = [...unused].filter((each) => each.files.test(file))
    if (here.length === 0) continue
    const source = readFileSync(join(root, file), 'utf8')
    for (const { name } of declaredIn(file, source)) {
      for (const each of here) if (each.name.test(name)) unused.delete(each)
    }
  }
  assert.deepEqual([...unused], [])
  for (const { why } of EXCEPTIONS) assert.notEqual(why, '')
})

test('a name is found wherever it is declared, and a field is none', () => {
  const wrong = [
    'const told = 1',
    'let [isKept] = x',
    'const { a: given } = x',
    'const { a, ...given } = x',
    'function carryOut() {}',
    'const f = (asked: string, b = 1) => asked',
    'type Heard = string',
    'interface Place { a: string }',
    'class A { #wanted = 1 }',
    'class A { recall() {} }',
    "import { a as told } from './a.ts'",
    'try {} catch (anew) {}',
    'type F = (told: string) => void',
    'const KEPT_MS = 1',
    'type WholeRun = string',
  ]
  for (const source of wrong) assert.equal(wrongIn('src/a.ts', source).length, 1, source)
  const right = [
    'interface A { told: string; kept(): void }',
    'const { told } = x',
    'const a = { given: 1 }',
    'const keepAlive = 1',
    'const handset = thinking',
    "const a = 'told'",
  ]
  for (const source of right) assert.deepEqual(wrongIn('src/a.ts', source), [], source)
  assert.equal(wrongIn('src/given-slot.test.ts', '').length, 1)
})
