import { useQuery } from '@tanstack/react-query'
import { useMemo, useState } from 'react'
import type { RunEvent } from '../../src/contract/events.ts'
import { ask } from '../data/api.ts'
import { getRun, type RunPage } from '../data/runs.ts'
import { Link } from '../navigation/navigation.tsx'
import { TalkOfRun } from './attachments.tsx'
import { Conversation, grouped } from './conversation.ts'
import { ChatRow } from './rows.tsx'

const MOST_ROWS = 100
const PAGE = 10_000

async function eventsOf(run: string, signal: AbortSignal): Promise<RunEvent[]> {
  const all: RunEvent[] = []
  for (;;) {
    const page = await ask<RunEvent[]>('GET', `/api/runs/${encodeURIComponent(run)}/events`, {
      query: { after: all.at(-1)?.seq ?? 0, limit: PAGE, output_bytes: 0 },
      signal,
    })
    all.push(...page)
    if (page.length < PAGE) return all
  }
}

/** Shows on demand the conversation of the run whose session this one continues. */
export function EarlierTalk({ run, branch = false }: { run: string; branch?: boolean }) {
  const [open, setOpen] = useState(false)
  const { data } = useQuery({
    queryKey: ['earlier', run],
    queryFn: async ({ signal }) => ({ run: await getRun(run, signal), events: await eventsOf(run, signal) }),
    enabled: open,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
  })
  const rows = useMemo(() => {
    if (data === undefined) return []
    const talk = new Conversation(data.run.owner, {})
    talk.readOn(data.events)
    return grouped(talk.rows)
  }, [data])
  if (!open)
    return (
      <p className="flex items-center justify-center gap-3 text-meta text-ink2">
        {branch ? 'This is a branch of an earlier session.' : 'This continues an earlier session.'}
        <button type="button" className="button" onClick={() => setOpen(true)}>
          Show earlier session
        </button>
        <Link to="/runs/$run" params={{ run }} className="text-accent hover:underline">
          Open that run
        </Link>
      </p>
    )
  return (
    <>
      {data?.run.continues !== undefined && <EarlierTalk run={data.run.continues} />}
      {rows.length > MOST_ROWS && (
        <Link to="/runs/$run" params={{ run }} className="self-center text-accent hover:underline">
          {rows.length - MOST_ROWS} earlier entries on the page of that run
        </Link>
      )}
      <TalkOfRun value={run}>
        {rows.slice(-MOST_ROWS).map((row) => (
          <ChatRow key={row.key} row={row} />
        ))}
      </TalkOfRun>
    </>
  )
}

/** Links the runs that continue the session of an ended run or are branches of it. */
export function LaterTalks({ run }: { run: string }) {
  const { data } = useQuery({
    queryKey: ['later', run],
    queryFn: ({ signal }) =>
      ask<RunPage>('GET', '/api/runs', { query: { continues: run, limit: 20 }, signal }),
    refetchOnMount: 'always',
  })
  const runs = data?.runs ?? []
  if (runs.length === 0) return null
  return (
    <section aria-label="Continued in" className="flex flex-col gap-1 text-meta text-ink2">
      <h2>Continued in</h2>
      <ul className="flex flex-col gap-1">
        {runs.map(({ run_id, workflow_name, owner }) => (
          <li key={run_id} className="truncate">
            <Link to="/runs/$run" params={{ run: run_id }} className="text-accent hover:underline">
              <bdi>{workflow_name}</bdi>
            </Link>{' '}
            · {owner}
          </li>
        ))}
      </ul>
    </section>
  )
}
