// npm run walls [-- --write]: no room imports what it may not, and ARCHITECTURE.md shows the same table (--write puts it there).
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { rooms, roomsTable } from './rooms.ts'

export interface Break {
  file: string
  line: number
  message: string
}

// Static, dynamic, type-only and re-exporting imports of a file of ours.
const importing = /\b(?:from|import)\s*\(?\s*(['"])(\.{1,2}\/[^'"]+)\1/g

/** The room of a file, and its path below that; undefined for what stands outside all rooms. */
function place(file: string): { room: string; rest: string } | undefined {
  const parts = file.split('/')
  if (parts[0] === 'web') return { room: 'web', rest: parts.slice(1).join('/') }
  return parts[0] === 'src' ? { room: parts[1]!, rest: parts.slice(2).join('/') } : undefined
}

/** Breaks in one file, given by its path below the project's folder. */
export function breaksOf(file: string, text: string): Break[] {
  const from = place(file)
  const room = from && rooms[from.room]
  if (from === undefined || room === undefined) {
    return [{ file, line: 1, message: `"${from?.room ?? file}" is no room of scripts/rooms.ts` }]
  }
  const { may } = room
  if (may === 'everything') return []
  const breaks: Break[] = []
  for (const match of text.matchAll(importing)) {
    const target = normalize(join(dirname(file), match[2]!))
    const to = place(target)
    if (to?.room === from.room) continue
    if (to !== undefined && (may.includes(to.room) || may.includes(`${to.room}/${to.rest}`))) continue
    const line = text.slice(0, match.index).split('\n').length
    breaks.push({ file, line, message: `${from.room} may not import ${target}` })
  }
  return breaks
}

const START = '<!-- rooms -->'
const END = '<!-- /rooms -->'

/** What is wrong with the table in ARCHITECTURE.md, or the text with the right one. */
export function architecture(text: string): { text: string } | { message: string } {
  const start = text.indexOf(START)
  const end = text.indexOf(END)
  if (start < 0 || end < start) return { message: `has no table between ${START} and ${END}` }
  return { text: `${text.slice(0, start + START.length)}\n${roomsTable()}\n${text.slice(end)}` }
}

function main(): void {
  const root = join(import.meta.dirname, '..')
  const files = globSync('{src,web}/**/*.{ts,tsx}', { cwd: root }).filter(
    // Tests may join what the product keeps apart.
    (file) => !file.endsWith('.test.ts') && !file.includes('node_modules/'),
  )
  const breaks = files.sort().flatMap((file) => breaksOf(file, readFileSync(join(root, file), 'utf8')))
  const page = join(root, 'ARCHITECTURE.md')
  const before = existsSync(page) ? readFileSync(page, 'utf8') : ''
  const after = architecture(before)
  if ('message' in after) breaks.push({ file: 'ARCHITECTURE.md', line: 1, message: after.message })
  else if (process.argv.includes('--write')) writeFileSync(page, after.text)
  else if (after.text !== before) {
    const message = 'the table of rooms is not that of scripts/rooms.ts; run: npm run walls -- --write'
    breaks.push({ file: 'ARCHITECTURE.md', line: 1, message })
  }
  for (const { file, line, message } of breaks) console.error(`${file}:${line}: ${message}`)
  console.log(`${files.length} files, ${breaks.length} walls broken`)
  if (breaks.length > 0) process.exitCode = 1
}

if (import.meta.main) main()
