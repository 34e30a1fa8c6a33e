import type { Route } from '../data/runs.ts'

const WIDTH = 132
const MIDDLE = 8

function stop(letter: string, x: number) {
  switch (letter) {
    case 'd':
      return <circle key={x} cx={x} cy={MIDDLE} r="3.4" fill="var(--ok)" />
    case 'f':
      return <rect key={x} x={x - 4} y={MIDDLE - 4} width="8" height="8" rx="1" fill="var(--bad)" />
    case 'r':
      return (
        <g key={x}>
          <circle cx={x} cy={MIDDLE} r="5" fill="var(--surface)" stroke="var(--accent)" strokeWidth="1.6" />
          <circle cx={x} cy={MIDDLE} r="2" fill="var(--accent)" />
        </g>
      )
    case 'q':
      return (
        <g key={x}>
          <circle cx={x} cy={MIDDLE} r="5.6" fill="var(--ask-fill)" />
          <path d={`M${x - 3} ${MIDDLE + 7.4}l.6-3.4 3 1.2z`} fill="var(--ask-fill)" />
          <path
            d={`M${x - 1.5} ${MIDDLE - 1.6}c.1-1.9 3-1.9 3 .1 0 1.1-1.5 1.2-1.5 2.2`}
            stroke="#231700"
            strokeWidth="1.1"
          />
          <circle cx={x} cy={MIDDLE + 2.9} r="0.75" fill="#231700" />
        </g>
      )
    case 'w':
      return (
        <circle
          key={x}
          cx={x}
          cy={MIDDLE}
          r="4"
          fill="var(--surface)"
          stroke="var(--ask)"
          strokeWidth="1.5"
          strokeDasharray="2 1.3"
        />
      )
    case 'k':
      return <path key={x} d={`M${x} ${MIDDLE - 3.5}v7`} stroke="var(--ink3)" strokeWidth="1.5" />
    case 'i':
      return (
        <g key={x} fill="var(--gone)">
          <path d={`M${x - 0.7} ${MIDDLE - 4.2}v8.4a4.2 4.2 0 0 1 0-8.4z`} />
          <path d={`M${x + 1} ${MIDDLE - 4.2}v8.4a4.2 4.2 0 0 0 0-8.4z`} fillOpacity="0.5" />
        </g>
      )
    case 'c':
      return (
        <g key={x} stroke="var(--ink3)" strokeWidth="1.4">
          <circle cx={x} cy={MIDDLE} r="3.4" fill="var(--surface)" />
          <path d={`M${x - 2.4} ${MIDDLE + 2.4}l4.8-4.8`} />
        </g>
      )
    default:
      return (
        <circle
          key={x}
          cx={x}
          cy={MIDDLE}
          r="2.9"
          fill="var(--surface)"
          stroke="var(--line2)"
          strokeWidth="1.4"
        />
      )
  }
}

/** Draws stops beside each other: the way so far is solid, the way ahead and waits are dotted. */
function stopsOf(stops: string, width: number) {
  const gap = stops.length > 1 ? (width - 14) / (stops.length - 1) : 0
  const at = (index: number) => 7 + index * gap
  const letters = [...stops]
  return (
    <>
      {letters.slice(1).map((letter, index) => {
        const ahead = letter === 'a' || letter === 'w' || letter === 'q'
        return (
          <path
            // biome-ignore lint/suspicious/noArrayIndexKey: stops have no other name
            key={index}
            d={`M${at(index)} ${MIDDLE}H${at(index + 1)}`}
            stroke={ahead ? 'var(--line2)' : 'var(--ink3)'}
            strokeWidth="1.5"
            strokeDasharray={ahead ? '1.5 2.6' : undefined}
          />
        )
      })}
      {letters.map((letter, index) => stop(letter, at(index)))}
    </>
  )
}

const parts = [
  { name: 'succeeded', colour: 'var(--ok)' },
  { name: 'skipped', colour: 'var(--line2)' },
  { name: 'canceled', colour: 'var(--ink3)' },
  { name: 'interrupted', colour: 'var(--gone)' },
  { name: 'failed', colour: 'var(--bad)' },
  { name: 'asks', colour: 'var(--ask-fill)' },
  { name: 'running', colour: 'var(--accent)' },
  { name: 'waiting', colour: 'var(--ask)' },
] as const

/**
 * Draws proportional parts. Each is at least 4 px wide; the failed part is taller than the line, and waits are
 * dotted.
 */
function partsOf(counts: NonNullable<Route['counts']>, whole: number) {
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0) || 1
  const there = parts.filter(({ name }) => (counts[name] ?? 0) > 0)
  const room = whole - there.length * 6 - 4
  let x = 0
  return (
    <>
      {there.map(({ name, colour }) => {
        const width = 4 + (room * counts[name]!) / all
        const from = x
        x += width + 2
        const height = name === 'failed' ? 10 : 6
        if (name === 'waiting' || name === 'asks')
          return (
            <path
              key={name}
              d={`M${from + 1} ${MIDDLE}H${from + width - 1}`}
              stroke={colour}
              strokeWidth="3"
              strokeDasharray="0.1 4"
            />
          )
        return (
          <rect
            key={name}
            x={from}
            y={MIDDLE - height / 2}
            width={width}
            height={height}
            rx={name === 'failed' ? 1 : Math.min(3, width / 2)}
            fill={colour}
          />
        )
      })}
      {(counts.ahead ?? 0) > 0 && x < whole - 6 && (
        <path
          d={`M${x + 2} ${MIDDLE}H${whole}`}
          stroke="var(--line2)"
          strokeWidth="1.5"
          strokeDasharray="1.5 2.6"
        />
      )}
    </>
  )
}

/** Describes the route in words, such as `5 of 8 steps done, 1 failed`. */
export function routeInWords({ stops, counts }: Route): string {
  const count = (letter: string, name: keyof NonNullable<Route['counts']>) =>
    stops === undefined ? (counts?.[name] ?? 0) : [...stops].filter((one) => one === letter).length
  const all = stops?.length ?? Object.values(counts ?? {}).reduce((sum, one) => sum + one, 0)
  const more = [
    [count('f', 'failed'), 'failed'],
    [count('i', 'interrupted'), 'interrupted'],
    [count('c', 'canceled'), 'canceled'],
    [count('k', 'skipped'), 'skipped'],
    [count('r', 'running'), 'running'],
    [count('q', 'asks'), 'waiting for a person'],
    [count('w', 'waiting'), 'waiting'],
  ] as const
  const texts = more.filter(([number]) => number > 0).map(([number, word]) => `${number} ${word}`)
  const noun = stops === undefined ? '' : all === 1 ? ' step' : ' steps'
  return [`${count('d', 'succeeded')} of ${all}${noun} done`, ...texts].join(', ')
}

/** Draws a run as a route: one stop per step, or parts if there are many steps. */
export function RouteLine({ route, width = WIDTH }: { route: Route; width?: number | undefined }) {
  const words = routeInWords(route)
  return (
    <svg
      role="img"
      aria-label={words}
      width={width}
      height="16"
      viewBox={`0 0 ${width} 16`}
      className="max-w-full shrink-0"
      fill="none"
      strokeLinecap="round"
    >
      <title>{words}</title>
      {route.stops === undefined ? partsOf(route.counts ?? {}, width) : stopsOf(route.stops, width)}
    </svg>
  )
}
