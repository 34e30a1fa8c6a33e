import { useQuery } from '@tanstack/react-query'
import { Hand, Layers, Maximize, Minus, Plus, Split, Workflow as SubRun } from 'lucide-react'
import { type ReactNode, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react'
import { countOf } from '../../data/instances.ts'
import { outlineQuery, type RunDetail, type Shown } from '../../data/runs.ts'
import { StatusMark, statusWord } from '../../parts/status-mark.tsx'
import { Took } from '../../parts/times.tsx'
import { firstOf, type InstanceRef, instanceWord } from '../chosen-instance.ts'
import { layoutOf, type Placed } from './layout.ts'
import { nodeId, nodesOf, type StepNode } from './nodes.ts'

const [WIDTH, HEIGHT, GAP_X, GAP_Y, EDGE] = [168, 46, 30, 24, 24]
const [SMALLEST, LARGEST] = [0.3, 1.5]

interface Props {
  run: RunDetail
  chosen: InstanceRef | undefined
  choose: (ref: InstanceRef) => void
  /** Shown at the top right. */
  views: ReactNode
}

interface View {
  x: number
  y: number
  scale: number
}

/** Space above the graph for the buttons on top of it. */
const ABOVE = 28

const worst: readonly Shown[] = ['failed', 'interrupted', 'asks', 'running', 'room', 'waiting', 'ahead']

/** Shows a run's steps as a graph from left to right: the way so far is solid, the way ahead dotted. */
export default function GraphView({ run, chosen, choose, views }: Props) {
  const { data: written } = useQuery(outlineQuery(run.run_id))
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set())
  const nodes = useMemo(() => nodesOf(run, written), [run, written])
  const chosenId = chosen && nodeId(chosen.step)
  const layout = useMemo(() => layoutOf(nodes, open), [nodes, open])
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const [focused, setFocused] = useState<string>()
  const box = useRef<HTMLDivElement>(null)
  const [view, setView] = useState<View>()
  const width = layout.columns * (WIDTH + GAP_X) - GAP_X + 2 * EDGE
  const height = layout.rows * (HEIGHT + GAP_Y) - GAP_Y + 2 * EDGE
  const left = ({ column }: Placed) => EDGE + column * (WIDTH + GAP_X)
  const top = ({ row }: Placed) => EDGE + row * (HEIGHT + GAP_Y)
  const current = layout.nodes.find(({ members }) => chosenId !== undefined && members.includes(chosenId))
  const roving = layout.nodes.find(({ id }) => id === focused) ?? current ?? layout.nodes[0]

  const fit = () => {
    const { current: at } = box
    if (at === null) return
    const scale = Math.max(0.55, Math.min(1, at.clientWidth / width, (at.clientHeight - ABOVE) / height))
    const middleOf = (room: number, size: number, around: number | undefined) => {
      if (size * scale <= room) return (room - size * scale) / 2
      return Math.min(0, Math.max(room - size * scale, room / 2 - (around ?? 0) * scale))
    }
    setView({
      scale,
      x: middleOf(at.clientWidth, width, current && left(current) + WIDTH / 2),
      y: ABOVE + middleOf(at.clientHeight - ABOVE, height, current && top(current) + HEIGHT / 2),
    })
  }
  /** A person has moved the graph, so it is not fitted again automatically. */
  const isMoved = useRef(false)
  const isFitted = view !== undefined
  const isPlaced = written !== undefined
  // Fit the graph once its edges are known, and again when its space changes.
  // biome-ignore lint/correctness/useExhaustiveDependencies: a later size of it changes nothing
  useLayoutEffect(() => {
    if (!isFitted && isPlaced) fit()
  }, [isFitted, isPlaced])

  const fitAgain = () => {
    isMoved.current = false
    fit()
  }
  const resized = useRef(fit)
  resized.current = () => {
    if (!isFitted) return
    if (isMoved.current && roving !== undefined) bringIntoView(roving)
    else fit()
  }
  useEffect(() => {
    const { current: at } = box
    if (at === null) return
    let { clientWidth, clientHeight } = at
    const observer = new ResizeObserver(() => {
      if (at.clientWidth === clientWidth && at.clientHeight === clientHeight) return
      ;({ clientWidth, clientHeight } = at)
      resized.current()
    })
    observer.observe(at)
    return () => observer.disconnect()
  }, [])

  const zoom = (by: number, at?: { x: number; y: number }) =>
    setView((was) => {
      if (was === undefined || box.current === null) return was
      isMoved.current = true
      const { clientWidth, clientHeight } = box.current
      const { x, y } = at ?? { x: clientWidth / 2, y: clientHeight / 2 }
      const scale = Math.min(LARGEST, Math.max(SMALLEST, was.scale * by))
      const ratio = scale / was.scale
      return { scale, x: x - (x - was.x) * ratio, y: y - (y - was.y) * ratio }
    })
  const zooming = useRef(zoom)
  zooming.current = zoom
  useEffect(() => {
    const { current: at } = box
    if (at === null) return
    const wheel = (event: WheelEvent) => {
      event.preventDefault()
      const place = at.getBoundingClientRect()
      if (event.ctrlKey || event.metaKey)
        zooming.current(Math.exp(-event.deltaY / 300), {
          x: event.clientX - place.left,
          y: event.clientY - place.top,
        })
      else {
        const [dx, dy] = event.shiftKey ? [event.deltaY, 0] : [event.deltaX, event.deltaY]
        isMoved.current = true
        setView((was) => was && { ...was, x: was.x - dx, y: was.y - dy })
      }
    }
    // A listener of React could not keep the page from scrolling.
    at.addEventListener('wheel', wheel, { passive: false })
    return () => at.removeEventListener('wheel', wheel)
  }, [])
  const drag = (event: React.PointerEvent) => {
    if (event.button !== 0 || (event.target as Element).closest('button, [role=option]') !== null) return
    event.currentTarget.setPointerCapture(event.pointerId)
    let [x, y] = [event.clientX, event.clientY]
    const at = event.currentTarget as HTMLElement
    const move = (moved: PointerEvent) => {
      const [dx, dy] = [moved.clientX - x, moved.clientY - y]
      x = moved.clientX
      y = moved.clientY
      isMoved.current = true
      setView((was) => was && { ...was, x: was.x + dx, y: was.y + dy })
    }
    at.addEventListener('pointermove', move)
    at.addEventListener('lostpointercapture', () => at.removeEventListener('pointermove', move), {
      once: true,
    })
  }

  const press = (placed: Placed) => {
    if (placed.members.length > 1) return setOpen(new Set([...open, ...placed.members]))
    choose(firstOf(byId.get(placed.id)!.step))
  }
  /** Moves along an edge, or to a neighbour in the column. */
  const walk = (from: Placed, key: string): Placed | undefined => {
    const nearest = (all: Placed[]) =>
      all.sort((a, b) => Math.abs(a.row - from.row) - Math.abs(b.row - from.row))[0]
    if (key === 'ArrowLeft') return nearest(layout.nodes.filter(({ id }) => from.needs.includes(id)))
    if (key === 'ArrowRight') return nearest(layout.nodes.filter(({ needs }) => needs.includes(from.id)))
    const beside = layout.nodes.filter(
      ({ column, row }) => column === from.column && (key === 'ArrowUp' ? row < from.row : row > from.row),
    )
    return key === 'ArrowUp' || key === 'ArrowDown' ? nearest(beside) : undefined
  }
  const key = (event: React.KeyboardEvent, placed: Placed) => {
    if (event.key === 'Enter' || event.key === ' ') press(placed)
    else {
      const next = walk(placed, event.key)
      if (next === undefined) return
      setFocused(next.id)
      const element = box.current?.querySelector<HTMLElement>(`[data-node="${CSS.escape(next.id)}"]`)
      element?.focus({ preventScroll: true })
      bringIntoView(next)
    }
    event.preventDefault()
  }
  const bringIntoView = (placed: Placed) =>
    setView((was) => {
      if (was === undefined || box.current === null) return was
      const shift = (at: number, size: number, offset: number, room: number) => {
        const [from, to] = [at * was.scale + offset, (at + size) * was.scale + offset]
        return from < 8 ? offset + 8 - from : to > room - 8 ? offset - (to - room + 8) : offset
      }
      const { clientWidth, clientHeight } = box.current
      return {
        ...was,
        x: shift(left(placed), WIDTH, was.x, clientWidth),
        y: shift(top(placed), HEIGHT, was.y, clientHeight),
      }
    })

  const placedOf = new Map(layout.nodes.map((placed) => [placed.id, placed]))
  return (
    <section
      aria-label="Graph"
      className="relative max-h-[40dvh] shrink-0 border-b border-line bg-canvas max-sm:hidden"
      style={{ height: Math.min(300, Math.max(140, height + ABOVE)) }}
    >
      <div
        ref={box}
        role="listbox"
        aria-label="Step graph"
        aria-orientation="horizontal"
        tabIndex={-1}
        className="graph-dots absolute inset-0 cursor-grab touch-none overflow-hidden active:cursor-grabbing"
        onPointerDown={drag}
      >
        {isFitted && (
          <div
            role="presentation"
            className="absolute top-0 left-0 origin-top-left"
            style={{ transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})` }}
          >
            <svg
              aria-hidden="true"
              className="pointer-events-none absolute top-0 left-0 overflow-visible"
              width={width}
              height={height}
              fill="none"
            >
              {layout.nodes.flatMap((to) =>
                to.needs.map((need) => {
                  const from = placedOf.get(need)
                  if (from === undefined) return null
                  const shown = shownOf(to, byId)
                  const source = shownOf(from, byId)
                  const ahead = [shown, source].some((one) => one === 'ahead' || one === 'skipped')
                  const [x1, y1] = [left(from) + WIDTH, top(from) + HEIGHT / 2]
                  const [x2, y2] = [left(to), top(to) + HEIGHT / 2]
                  const bend = Math.min(GAP_X, x2 - x1)
                  return (
                    <path
                      key={`${need} ${to.id}`}
                      data-edge={ahead ? 'ahead' : 'travelled'}
                      d={
                        y1 === y2
                          ? `M${x1} ${y1}H${x2}`
                          : `M${x1} ${y1}H${x2 - bend}C${x2 - bend / 2} ${y1} ${x2 - bend / 2} ${y2} ${x2} ${y2}`
                      }
                      stroke={ahead ? 'var(--line2)' : 'var(--ink3)'}
                      strokeWidth="1.5"
                      strokeDasharray={ahead ? '1.5 3.5' : undefined}
                      strokeLinecap="round"
                    />
                  )
                }),
              )}
            </svg>
            {layout.nodes.map((placed) => (
              <Node
                key={placed.id}
                placed={placed}
                shown={shownOf(placed, byId)}
                node={byId.get(placed.id)!}
                selected={placed === current}
                roving={placed === roving}
                at={{ left: left(placed), top: top(placed) }}
                press={() => press(placed)}
                onKeyDown={(event) => key(event, placed)}
                onFocus={() => setFocused(placed.id)}
              />
            ))}
          </div>
        )}
      </div>
      <div className="absolute top-3 right-3">{views}</div>
      <div className="absolute right-3 bottom-2.5 flex gap-1.5">
        {(
          [
            ['Zoom out', Minus, () => zoom(1 / 1.25)],
            ['Zoom in', Plus, () => zoom(1.25)],
            ['Zoom to fit', Maximize, fitAgain],
          ] as const
        ).map(([word, Icon, act]) => (
          <button
            key={word}
            type="button"
            aria-label={word}
            title={word}
            className="flex size-6 items-center justify-center rounded-md border border-line2 bg-surface text-ink2 hover:text-ink dark:bg-raised"
            onClick={act}
          >
            <Icon size={13} strokeWidth={1.75} aria-hidden />
          </button>
        ))}
      </div>
    </section>
  )
}

/** Returns the status that a node shows; for a fold, the worst of its members. */
function shownOf({ members, id }: Placed, byId: ReadonlyMap<string, StepNode>): Shown {
  if (members.length === 1) return byId.get(id)!.shown
  const all = members.map((one) => byId.get(one)!.shown)
  return worst.find((one) => all.includes(one)) ?? (all.includes('success') ? 'success' : all[0]!)
}

interface NodeProps {
  placed: Placed
  node: StepNode
  shown: Shown
  selected: boolean
  roving: boolean
  at: { left: number; top: number }
  press: () => void
  onKeyDown: (event: React.KeyboardEvent) => void
  onFocus: () => void
}

function Node({ placed, node, shown, selected, roving, at, press, onKeyDown, onFocus }: NodeProps) {
  const { step } = node
  const count = placed.members.length
  const name =
    count > 1 ? `${count} steps` : step.phase === 'main' ? step.step : `${step.phase}: ${step.step}`
  const isAhead = shown === 'ahead' || shown === 'skipped'
  const about = count > 1 ? `from ${step.step}` : aboutOf(node)
  return (
    <div
      role="option"
      data-node={placed.id}
      aria-selected={selected}
      aria-label={`${name}, ${statusWord(shown)}${typeof about === 'string' ? `, ${about}` : ''}${node.when === undefined || count > 1 ? '' : `, if ${node.when}`}`}
      tabIndex={roving ? 0 : -1}
      className={`absolute flex flex-col justify-center rounded-lg border bg-surface pr-2 pl-2.5 select-none ${selected ? 'border-accent shadow-[0_0_0_2px_var(--accent-soft),0_0_0_1px_var(--accent)]' : isAhead ? 'border-dashed border-line2' : 'border-line2'} cursor-pointer hover:bg-hover`}
      style={{ ...at, width: WIDTH, height: HEIGHT }}
      onClick={press}
      onKeyDown={onKeyDown}
      onFocus={onFocus}
    >
      <span className="flex items-center gap-2">
        {count > 1 && <Layers size={13} strokeWidth={1.75} aria-hidden className="shrink-0 text-ink3" />}
        <StatusMark shown={shown} size={14} beside />
        <bdi className={`truncate font-medium ${isAhead ? 'text-ink2' : ''}`}>{name}</bdi>
        <span className="ml-auto flex shrink-0 gap-1 text-ink3">
          {count === 1 && node.when !== undefined && (
            <span title={`if ${node.when}`}>
              <Split size={12} strokeWidth={1.75} aria-hidden />
            </span>
          )}
          {count === 1 && step.action === 'approval.wait' && (
            <Hand size={12} strokeWidth={1.75} aria-hidden />
          )}
          {count === 1 && step.action === 'workflow.run' && (
            <SubRun size={12} strokeWidth={1.75} aria-hidden />
          )}
        </span>
      </span>
      <span
        className={`truncate pl-[22px] text-label ${shown === 'failed' ? 'text-bad' : shown === 'asks' ? 'text-ask' : 'text-ink2'}`}
      >
        {about}
      </span>
    </div>
  )
}

/** Returns the second line of a node: how it went and where, or why it did not run. */
function aboutOf({ step, shown }: StepNode): ReactNode {
  const { instances } = step
  const count = countOf(step)
  const bad = countOf(step, 'failed', 'interrupted')
  if (shown === 'asks') return 'waiting for a person'
  if (shown === 'room') return step.waiting ?? 'waiting for capacity'
  if (shown === 'skipped')
    return step.reason === 'condition'
      ? 'its condition is false'
      : step.reason === 'upstream'
        ? 'an earlier step failed'
        : (step.reason ?? 'did not run')
  if (step.started_at === undefined) return step.action
  const where =
    count > 1
      ? bad > 0
        ? `${bad.toLocaleString('en')} of ${count.toLocaleString('en')}`
        : `${count.toLocaleString('en')} instances`
      : instances[0] === undefined || instances[0].host === 'local'
        ? ''
        : instanceWord({ instance: instances[0] })
  return (
    <>
      <Took of={step} />
      {where !== '' && (
        <>
          {' · '}
          <bdi>{where}</bdi>
        </>
      )}
    </>
  )
}
