import { useQuery } from '@tanstack/react-query'
import { RefreshCw, Unplug } from 'lucide-react'
import { useRef } from 'react'
import { timeOf, useNow } from '../data/clock.ts'
import { liveRuns, useConnection, useHubVersion } from '../data/live/live.ts'
import { meQuery } from '../data/session.ts'

/** Shows whether the page is live. */
export function ConnectionDot({ word = true }: { word?: boolean }) {
  const { state, sinceMs } = useConnection()
  const now = useNow()
  if (state === 'none') return null
  const isEnded = state === 'away' && sinceMs === undefined
  const away = state === 'away' && now - (sinceMs ?? now) > 3000
  return (
    <span className="flex items-center gap-2" role="status">
      <span
        className={`size-1.5 rounded-full ${away || isEnded ? 'bg-ask-fill' : state === 'live' ? 'bg-ok' : 'bg-line2'}`}
      />
      <span className={word ? 'group-data-folded:hidden max-xl:sr-only' : ''}>
        {away ? 'reconnecting' : isEnded ? 'logged out' : state === 'connecting' ? 'connecting' : 'live'}
      </span>
    </span>
  )
}

/** Says since when the shown data is outdated, once the hub has been away for ten seconds. */
export function ConnectionBanner() {
  const { state, sinceMs, retryMs } = useConnection()
  const now = useNow()
  const left = Math.ceil(((retryMs ?? now) - now) / 1000)
  if (state !== 'away' || sinceMs === undefined || now - sinceMs < 10_000) return null
  return (
    <div
      role="alert"
      className="mx-edge mt-3 flex items-center gap-2.5 rounded-lg border border-ask-line bg-ask-soft px-3 py-2 text-meta"
    >
      <Unplug size={14} strokeWidth={1.75} aria-hidden />
      <span>
        The hub isn't responding. This page shows data from {timeOf(new Date(sinceMs).toISOString(), now)};{' '}
        <span aria-live="off">{left > 0 ? `trying again in ${left} s` : 'trying again'}</span>.
      </span>
      <button
        type="button"
        className="ml-auto min-h-6 px-2 font-semibold max-sm:min-h-11"
        onClick={() => liveRuns.tryNow()}
      >
        Now
      </button>
    </div>
  )
}

/** Says that the hub's version differs from the page's, and offers a reload. */
export function UpdateNotice() {
  const { data: me } = useQuery(meQuery)
  const version = useHubVersion()
  // The version at the time the page was loaded: the person's data is read again after a login.
  const own = useRef(me?.version)
  own.current ??= me?.version
  if (version === undefined || own.current === undefined || version === own.current) return null
  return (
    <div
      role="status"
      className="mx-edge mt-3 flex items-center gap-2.5 rounded-lg border border-line bg-sel px-3 py-2 text-meta"
    >
      <RefreshCw size={14} strokeWidth={1.75} aria-hidden />
      <span>Errand was updated.</span>
      <button
        type="button"
        className="ml-auto min-h-6 px-2 font-semibold max-sm:min-h-11"
        onClick={() => location.reload()}
      >
        Reload
      </button>
    </div>
  )
}
