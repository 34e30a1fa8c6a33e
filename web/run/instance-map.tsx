import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { instanceQuery } from '../data/instances.ts'
import type { Shown, Step } from '../data/runs.ts'
import { statusWord } from '../parts/status-mark.tsx'
import { type InstanceRef, statusOrder } from './chosen-instance.ts'

const MOST_MARKS = 250
const CELL = 16

const colours: Partial<Record<Shown, string>> = {
  success: 'var(--ok)',
  failed: 'var(--bad)',
  interrupted: 'var(--gone)',
  running: 'var(--accent)',
  asks: 'var(--ask-fill)',
  room: 'var(--ask)',
  waiting: 'var(--ask)',
}

const letters: Record<string, Shown> = {
  d: 'success',
  f: 'failed',
  r: 'running',
  a: 'ahead',
  k: 'skipped',
  w: 'waiting',
  i: 'interrupted',
  c: 'canceled',
}

interface Mark {
  from: number
  all: readonly Shown[]
  shown: Shown
}

/**
 * Shows all instances of a step in order. A mark may cover several and shows the worst of them. Arrow keys move,
 * Enter opens.
 */
export function InstanceMap({
  run,
  step,
  states,
  choose,
  columns,
}: {
  run: string
  step: Step
  /** A letter per instance, as in the overview of the step. */
  states: string
  choose: (ref: InstanceRef) => void
  columns: number
}) {
  const client = useQueryClient()
  const each = Math.ceil(states.length / MOST_MARKS)
  const marks: Mark[] = Array.from({ length: Math.ceil(states.length / each) }, (_, at) => {
    const all = [...states.slice(at * each, (at + 1) * each)].map((letter) => letters[letter] ?? 'ahead')
    const worst = Math.min(...all.map((shown) => statusOrder.indexOf(shown)))
    return { from: at * each, all, shown: statusOrder[worst]! }
  })
  const [at, setAt] = useState(() =>
    Math.max(
      0,
      marks.findIndex(({ shown }) => shown === 'failed'),
    ),
  )
  const current = marks[Math.min(at, marks.length - 1)]
  const rows = Math.ceil(marks.length / columns)
  const open = async ({ from, all, shown }: Mark) => {
    const index = from + all.indexOf(shown)
    const version = step.finished_at ?? Date.now()
    const instance = await client.fetchQuery(instanceQuery(run, step, { index }, version)).catch(() => null)
    if (instance !== null) choose({ step, instance, index })
  }
  const pathOf = (status: Shown) =>
    marks
      .map(({ shown }, index) => {
        if (shown !== status) return ''
        const [x, y] = [(index % columns) * CELL, Math.floor(index / columns) * CELL]
        return shown === 'failed'
          ? `M${x + 2} ${y + 2}h12v12h-12z`
          : `M${x + 2.5} ${y + 8}a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0 -11 0z`
      })
      .join('')
  const words = (mark: Mark) => {
    const [first, last] = [mark.from + 1, mark.from + mark.all.length]
    const count = mark.all.filter((shown) => shown === mark.shown).length
    return `${first === last ? first : `${first} to ${last}`}: ${count} ${statusWord(mark.shown)}`
  }
  const key = (event: React.KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key]
    if (step !== undefined) setAt(Math.min(marks.length - 1, Math.max(0, at + step)))
    else if (event.key === 'Enter' && current !== undefined) void open(current)
    else return
    event.preventDefault()
  }
  if (current === undefined) return null
  return (
    <div className="max-w-full">
      <p className="mb-1.5 text-label text-ink2">
        In order{each > 1 ? `, ${each} per mark. A mark shows the worst of its ${each}` : ''}. Use the arrow
        keys to move and Enter to open.
      </p>
      <div
        role="slider"
        tabIndex={0}
        aria-label={`Map of ${states.length} instances`}
        aria-valuemin={1}
        aria-valuemax={marks.length}
        aria-valuenow={at + 1}
        aria-valuetext={words(current)}
        className="inline-block max-w-full"
        onKeyDown={key}
        onClick={(event) => {
          const box = event.currentTarget.getBoundingClientRect()
          const size = box.width / columns
          const column = Math.floor((event.clientX - box.left) / size)
          const index = Math.floor((event.clientY - box.top) / size) * columns + column
          const mark = marks[index]
          if (mark === undefined) return
          setAt(index)
          void open(mark)
        }}
      >
        <svg
          aria-hidden="true"
          className="block h-auto max-w-full"
          width={columns * CELL}
          height={rows * CELL}
          viewBox={`0 0 ${columns * CELL} ${rows * CELL}`}
        >
          {statusOrder.map((shown) => {
            const d = pathOf(shown)
            const fill = colours[shown]
            return d === '' ? null : (
              <path
                key={shown}
                d={d}
                fill={fill ?? 'none'}
                stroke={fill === undefined ? 'var(--line2)' : undefined}
                strokeDasharray={fill === undefined ? '2 2' : undefined}
                opacity={shown === 'success' ? 0.75 : 1}
              />
            )
          })}
          <rect
            x={(at % columns) * CELL + 0.5}
            y={Math.floor(at / columns) * CELL + 0.5}
            width={CELL - 1}
            height={CELL - 1}
            rx="3"
            fill="none"
            stroke="var(--ink)"
          />
        </svg>
      </div>
      <p className="text-label text-ink2" aria-hidden="true">
        {words(current)}
      </p>
    </div>
  )
}
