import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import test from 'node:test'
import { moves } from '../src/engine/core/transitions.ts'
import { taskMoves } from '../src/engine/tasks/task-moves.ts'
import { botMoves } from '../src/hub/bots/bot-view.ts'
import { moves as attemptMoves } from '../src/runner/attempts/attempt-state.ts'
import { sessionMoves } from '../src/runner/sessions/session-state.ts'

/** The next states of each state, with the cause of each move if the diagram names it. */
type Arrows = Readonly<Record<string, readonly string[] | Readonly<Record<string, string>>>>

/** The tables that the diagrams of ARCHITECTURE.md show, by the headings above them, each with its first states. */
const tables: Readonly<Record<string, { moves: Arrows; begins: readonly string[] }>> = {
  Run: { moves: moves.run, begins: ['queued'] },
  Step: { moves: moves.step, begins: ['queued'] },
  // Known when its step starts: reused from an earlier run, or its condition is false or invalid.
  Instance: { moves: moves.instance, begins: ['queued', 'success', 'skipped', 'failed'] },
  Attempt: { moves: moves.attempt, begins: ['waiting', 'assigned'] },
  'Attempt on its machine': { moves: attemptMoves, begins: ['starting', 'ended'] },
  'Session: its agent': { moves: sessionArrows('agent'), begins: ['down'] },
  'Session: its work': { moves: sessionArrows('work'), begins: ['open'] },
  Bot: { moves: botMoves, begins: ['start'] },
  Task: { moves: taskMoves, begins: ['pending'] },
}

/** Returns the moves of one half of a session's state, with the cause of each. */
function sessionArrows(half: 'agent' | 'work'): Arrows {
  const arrows: Record<string, Record<string, string>> = {}
  for (const [happening, led] of Object.entries<{ agent?: object; work?: object }>(sessionMoves))
    for (const [from, to] of Object.entries<string>({ ...led[half] })) {
      const next = arrows[from] ?? {}
      next[to] = next[to] === undefined ? happening : `${next[to]}, ${happening}`
      arrows[from] = next
    }
  return arrows
}

const page = readFileSync(new URL('../ARCHITECTURE.md', import.meta.url), 'utf8')
const drawn = new Map(
  [...page.matchAll(/^### (.+)\n(?:(?!#).*\n)*?```mermaid\nstateDiagram-v2\n([^`]*)```/gm)].map(
    ([, heading, text]) => [heading!, text!.trim().split(/\n\s*/)],
  ),
)

/** Returns the lines of the diagram that shows a table completely. */
function linesOf({ moves: arrows, begins }: (typeof tables)[string]): string[] {
  const lines = begins.map((state) => `[*] --> ${state}`)
  const states = new Set(begins)
  for (const [from, next] of Object.entries(arrows)) {
    states.add(from)
    const labelled = Array.isArray(next) ? next.map((to) => [to, '']) : Object.entries(next)
    for (const [to, label] of labelled) {
      states.add(to!)
      lines.push(`${from} --> ${to}${label ? `: ${label}` : ''}`)
    }
  }
  for (const state of states) {
    const next = arrows[state] ?? []
    if (Object.keys(next).length === 0) lines.push(`${state} --> [*]`)
  }
  return lines
}

for (const [heading, table] of Object.entries(tables))
  test(`the diagram "${heading}" in ARCHITECTURE.md shows exactly the moves of its table`, () => {
    assert.deepEqual((drawn.get(heading) ?? []).toSorted(), linesOf(table).toSorted())
  })

test('every state diagram in ARCHITECTURE.md is checked', () => {
  assert.equal(page.split('stateDiagram').length - 1, drawn.size)
  assert.deepEqual([...drawn.keys()].sort(), Object.keys(tables).sort())
})

const classes = /^export class (\w+) implements (.+) \{$/gm

test('the ports table in ARCHITECTURE.md names every class that implements a port', () => {
  const ports = new Map(
    [...page.matchAll(/^\| (`\w+`(?:, `\w+`)*) \| (.*`.*) \|$/gm)].flatMap(([, names, carriers]) =>
      names!.split(', ').map((name) => [name.slice(1, -1), carriers!] as const),
    ),
  )
  const source = new URL('../src/', import.meta.url)
  const carriers: [string, string][] = []
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((one) =>
    one.endsWith('.ts'),
  )
  for (const file of files)
    for (const [, name, implemented] of readFileSync(new URL(file, source), 'utf8').matchAll(classes)) {
      // Fakes for tests are not part of the product.
      if (name!.startsWith('StandIn')) continue
      for (const port of implemented!.split(', ')) if (ports.has(port)) carriers.push([port, name!])
    }
  for (const [port, text] of ports) {
    const named = [...text.matchAll(/`(\w+)`/g)].map(([, name]) => name!)
    const there = carriers.filter(([of]) => of === port).map(([, name]) => name)
    assert.deepEqual(named.sort(), there.sort(), port)
  }
  assert.ok(ports.has('StepHost') && ports.has('RunStore'))
})

const root = new URL('../', import.meta.url)
const sources = readdirSync(new URL('src/', root), { recursive: true, encoding: 'utf8' })
const named = [...page.matchAll(/`([\w.-]+(?:\/[\w.-]*)*)`/g)].map(([, name]) => name!)

test('every source file and folder that ARCHITECTURE.md names exists', () => {
  const rooms = new Set(sources.filter((path) => !path.includes('/')))
  const isPath = (name: string) =>
    name.endsWith('.ts') || (name.includes('/') && rooms.has(name.split('/')[0]!))
  const isThere = (name: string) =>
    name.includes('/')
      ? [name, `src/${name}`].some((path) => existsSync(new URL(path, root)))
      : sources.some((path) => path.split('/').at(-1) === name)
  assert.deepEqual(
    named.filter((name) => isPath(name) && !isThere(name)),
    [],
  )
  assert.ok(named.includes('run-loop.ts') && named.includes('hub/bots'))
})

test('each walk in ARCHITECTURE.md states how many files it names, and names each once', () => {
  const section = /^## Walks\n([\s\S]*?)^## /m.exec(page)?.[1] ?? ''
  const walks = section.split('\n\n').filter((paragraph) => paragraph.startsWith('**'))
  for (const walk of walks) {
    const [, name, count] = /^\*\*(.+?)\*\*[\s\S]*?: (\d+) files\./.exec(walk) ?? []
    const files = [...walk.matchAll(/`([^`]+\.ts)`/g)].map(([, file]) => file!)
    assert.equal(new Set(files).size, Number(count), name)
    assert.equal(files.length, Number(count), name)
  }
  assert.equal(walks.length, 5)
})
