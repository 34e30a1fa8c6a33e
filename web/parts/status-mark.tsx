import type { Shown } from '../data/runs.ts'

const words: Record<Shown, string> = {
  queued: 'queued',
  running: 'running',
  success: 'success',
  failed: 'failed',
  canceled: 'canceled',
  interrupted: 'interrupted',
  skipped: 'skipped',
  room: 'waiting for capacity',
  waiting: 'waiting',
  asks: 'waiting for a person',
  ahead: 'not started',
  aside: 'set aside',
}
export const statusWord = (shown: Shown): string => words[shown]

function shape(shown: Shown) {
  switch (shown) {
    case 'success':
      return (
        <g>
          <circle cx="8" cy="8" r="7" fill="var(--ok)" />
          <path d="M4.9 8.3 7.1 10.5 11.2 5.9" stroke="var(--surface)" strokeWidth="1.8" />
        </g>
      )
    case 'failed':
      return (
        <g>
          <rect x="1" y="1" width="14" height="14" rx="3" fill="var(--bad)" />
          <path d="M5.4 5.4 10.6 10.6M10.6 5.4 5.4 10.6" stroke="var(--surface)" strokeWidth="1.9" />
        </g>
      )
    case 'running':
      return (
        <g>
          <circle cx="8" cy="8" r="6.2" stroke="var(--accent)" strokeOpacity="0.28" strokeWidth="1.8" />
          <path className="arc" d="M8 1.8A6.2 6.2 0 0 1 14.2 8" stroke="var(--accent)" strokeWidth="1.8" />
          <circle cx="8" cy="8" r="2.3" fill="var(--accent)" />
        </g>
      )
    case 'canceled':
      return (
        <g stroke="var(--ink3)" strokeWidth="1.7">
          <circle cx="8" cy="8" r="6.1" />
          <path d="M3.9 12.1 12.1 3.9" />
        </g>
      )
    case 'interrupted':
      return (
        <g fill="var(--gone)">
          <path d="M7.3 1.1V14.9A7 7 0 0 1 7.3 1.1Z" />
          <path d="M9.3 1.1V14.9A7 7 0 0 0 9.3 1.1Z" fillOpacity="0.45" />
        </g>
      )
    case 'skipped':
      return <path d="M3.5 4 7.5 8 3.5 12M8.5 4 12.5 8 8.5 12" stroke="var(--ink3)" strokeWidth="1.6" />
    case 'room':
      return (
        <path
          d="M4 2H12M4 14H12M4.8 2V4.4L8 8 4.8 11.6V14M11.2 2V4.4L8 8 11.2 11.6V14"
          stroke="var(--ask)"
          strokeWidth="1.4"
        />
      )
    case 'aside':
      return (
        <g>
          <rect x="1" y="1" width="14" height="14" rx="3" stroke="var(--bad)" strokeWidth="1.6" />
          <path d="M6 5V11M10 5V11" stroke="var(--bad)" strokeWidth="1.9" />
        </g>
      )
    case 'asks':
      return (
        <g>
          <path
            d="M8 1C12 1 15 3.7 15 7.3S12 13.6 8 13.6L3.4 15.2 4 12.2C2.2 11 1 9.3 1 7.3 1 3.7 4 1 8 1Z"
            fill="var(--ask-fill)"
          />
          <path
            d="M6.1 5.9C6.2 4.8 7 4.1 8 4.1S9.9 4.8 9.9 5.8C9.9 7.1 8 7.2 8 8.6"
            stroke="#231700"
            strokeWidth="1.6"
          />
          <circle cx="8" cy="10.8" r="1" fill="#231700" />
        </g>
      )
    default:
      return <circle cx="8" cy="8" r="6.1" stroke="var(--ink3)" strokeWidth="1.7" strokeDasharray="2.9 1.9" />
  }
}

/**
 * The mark of a status, told by its shape and then by its colour. With a word beside it, screen readers skip the
 * mark.
 */
export function StatusMark({ shown, size = 16, beside }: { shown: Shown; size?: number; beside?: boolean }) {
  const label = beside ? { 'aria-hidden': true as const } : { role: 'img', 'aria-label': statusWord(shown) }
  return (
    // biome-ignore lint/a11y/noSvgWithoutTitle: it is labelled, or hidden beside its word
    <svg
      {...label}
      className="shrink-0"
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      {shape(shown)}
    </svg>
  )
}
