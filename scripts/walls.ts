// npm run walls [-- --write]: fails if a room imports something that it may not, two folders import each other, files
// import in a circle, a file or folder is too large, a file is only a part of its neighbour, or a table in
// ARCHITECTURE.md, CONTRIBUTING.md or docs/ differs from the code (--write updates the tables).
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { grainBreaks } from './grain.ts'
import { type Import, importsOf } from './imports.ts'
import { allowedCircles, allowedPairs, type Room, rooms, roomsTable } from './rooms.ts'
import { settingsTable } from './settings-table.ts'
import { runsTable } from './test-runs.ts'

export interface Break {
  file: string
  line: number
  message: string
}

type Rooms = Readonly<Record<string, Room>>

/** Returns the name of the innermost room that contains the file; undefined if none does. */
function roomOf(file: string, known: Rooms): string | undefined {
  const path = file.replace(/^src\//, '')
  if (path === file && !file.startsWith('web/')) return undefined
  const names = Object.keys(known).filter((name) => path === name || path.startsWith(`${name}/`))
  return names.sort((a, b) => b.length - a.length)[0]
}

/** Returns the imports that the file's room may not have. `may` names rooms, folders of rooms and single files. */
export function breaksOf(file: string, text: string, known: Rooms = rooms): Break[] {
  const from = roomOf(file, known)
  if (from === undefined) {
    const name = file.startsWith('src/') ? file.split('/')[1] : file
    return [{ file, line: 1, message: `"${name}" is not a room in scripts/rooms.ts` }]
  }
  const { may } = known[from]!
  if (may === 'everything') return []
  return importsOf(file, text).flatMap(({ target, line }) => {
    const room = roomOf(target, known)
    const path = target.replace(/^src\//, '')
    const isFree =
      room === from ||
      // The text of a file that is not code.
      (room === undefined && target.endsWith('?raw')) ||
      (room !== undefined && may.some((one) => one === room || path === one || path.startsWith(`${one}/`)))
    return isFree ? [] : [{ file, line, message: `${from} may not import ${target}` }]
  })
}

export type Files = ReadonlyMap<string, readonly Import[]>

/** Returns the two folders at which the paths of the files diverge; undefined if one of them contains the other. */
function apart(file: string, target: string): [string, string] | undefined {
  const [from, to] = [dirname(file).split('/'), dirname(target).split('/')]
  const at = from.findIndex((name, index) => name !== to[index])
  if (at < 0 || at >= to.length) return undefined
  return [from.slice(0, at + 1).join('/'), to.slice(0, at + 1).join('/')]
}

/** Returns the imports, in the rarer direction, of folders that import each other; subfolders count, types do not. */
export function twoWayPairs(files: Files, allowed: typeof allowedPairs = allowedPairs): Break[] {
  const ways = new Map<string, Break[]>()
  for (const [file, imports] of files)
    for (const { target, line, kind } of imports) {
      const folders = apart(file, target)
      if (kind === 'type' || folders === undefined) continue
      const way = folders.join(' ')
      ways.set(way, [...(ways.get(way) ?? []), { file, line, message: `imports ${target}` }])
    }
  const known = new Set(allowed.map(({ folders }) => [...folders].sort().join(' ')))
  const there = new Set<string>()
  const found = [...ways].flatMap(([way, breaks]) => {
    const [from, to] = way.split(' ') as [string, string]
    const back = ways.get(`${to} ${from}`)
    if (back === undefined || back.length < breaks.length || (back.length === breaks.length && to < from))
      return []
    const pair = [from, to].sort().join(' ')
    there.add(pair)
    if (known.has(pair)) return []
    return breaks.map((one) => ({ ...one, message: `${one.message}, and ${to} imports ${from}` }))
  })
  const gone = [...known].filter((pair) => !there.has(pair))
  return [
    ...found,
    ...gone.map((pair) => stale(`${pair} no longer import each other: remove them from allowedPairs`)),
  ]
}

const stale = (message: string): Break => ({ file: 'scripts/rooms.ts', line: 1, message })

/** Returns the circles of files that import each other at load time, types excluded; each as its files in order. */
export function circlesOf(files: Files): string[][] {
  const values = (file: string) =>
    (files.get(file) ?? []).filter(({ kind }) => kind === 'value').map(({ target }) => target)
  const circles: string[][] = []
  const done = new Set<string>()
  for (const start of [...files.keys()].sort()) {
    if (done.has(start)) continue
    const circle = wayBack(start, values)
    if (circle === undefined) continue
    for (const file of circle) done.add(file)
    circles.push(circle)
  }
  return circles
}

/** Returns the shortest path of imports from a file to itself. */
function wayBack(start: string, values: (file: string) => string[]): string[] | undefined {
  const before = new Map<string, string>()
  const open = [start]
  for (const file of open)
    for (const target of values(file)) {
      if (target === start) {
        const way = [file]
        for (let at = file; at !== start; at = before.get(at)!) way.unshift(before.get(at)!)
        return way
      }
      if (before.has(target)) continue
      before.set(target, file)
      open.push(target)
    }
  return undefined
}

/** Returns circles that the list in `rooms.ts` does not have, and entries of the list that no longer exist. */
export function circleBreaks(files: Files, allowed: typeof allowedCircles = allowedCircles): Break[] {
  const key = (circle: readonly string[]) => [...circle].sort().join()
  const circles = circlesOf(files)
  const known = new Set(allowed.map(({ files: circle }) => key(circle)))
  const there = new Set(circles.map(key))
  return [
    ...circles
      .filter((circle) => !known.has(key(circle)))
      .map((circle) => ({
        file: circle[0]!,
        line: 1,
        message: `circle: ${[...circle, circle[0]].join(' > ')}`,
      })),
    ...allowed
      .filter(({ files: circle }) => !there.has(key(circle)))
      .map(({ files: circle }) =>
        stale(`the circle of ${circle.join(', ')} is gone: remove it from allowedCircles`),
      ),
  ]
}

/** Tables in pages, each between comments with its name. */
const tables: readonly { page: string; name: string; text(): string }[] = [
  { page: 'ARCHITECTURE.md', name: 'rooms', text: roomsTable },
  { page: 'docs/cli.md', name: 'settings', text: () => settingsTable('cli') },
  { page: 'docs/runners.md', name: 'bot-settings', text: () => settingsTable('bots') },
  { page: 'CONTRIBUTING.md', name: 'test-runs', text: () => runsTable(join(import.meta.dirname, '..')) },
]

/** Returns the page with the table in its place, or a message that says what is wrong with the page. */
export function withTable(page: string, name: string, table: string): { text: string } | { message: string } {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const start = page.indexOf(open)
  const end = page.indexOf(close)
  if (start < 0 || end < start) return { message: `has no table between ${open} and ${close}` }
  return { text: `${page.slice(0, start + open.length)}\n${table}\n${page.slice(end)}` }
}

function tableBreaks(root: string, write: boolean): Break[] {
  return tables.flatMap(({ page: file, name, text }) => {
    const page = join(root, file)
    const before = readFileSync(page, 'utf8')
    const after = withTable(before, name, text())
    if ('message' in after) return [{ file, line: 1, message: after.message }]
    if (write) writeFileSync(page, after.text)
    else if (after.text !== before)
      return [
        {
          file,
          line: 1,
          message: `the table "${name}" differs from the code; run: npm run walls -- --write`,
        },
      ]
    return []
  })
}

function main(): void {
  const root = join(import.meta.dirname, '..')
  const names = globSync('{src,web}/**/*.{ts,tsx}', { cwd: root })
    // Tests may combine what the product keeps separate.
    .filter((file) => !file.endsWith('.test.ts') && !file.includes('node_modules/'))
    .sort()
  const texts = new Map(names.map((file) => [file, readFileSync(join(root, file), 'utf8')]))
  const files = new Map([...texts].map(([file, text]) => [file, importsOf(file, text)]))
  const sources = new Map(
    [...texts].map(([file, text]) => {
      const tested = existsSync(join(root, file.replace(/\.(tsx?)$/, '.test.$1')))
      return [file, { text, tested }]
    }),
  )
  const breaks = [
    ...[...texts].flatMap(([file, text]) => breaksOf(file, text)),
    ...twoWayPairs(files),
    ...circleBreaks(files),
    ...grainBreaks(sources, files),
    ...tableBreaks(root, process.argv.includes('--write')),
  ]
  for (const { file, line, message } of breaks) console.error(`${file}:${line}: ${message}`)
  console.log(`${files.size} files, ${breaks.length} walls broken`)
  if (breaks.length > 0) process.exitCode = 1
}

if (import.meta.main) main()
