import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Plus, X } from 'lucide-react'
import { useEffect, useState } from 'react'
import type { EnrollmentCreated, RunnerView } from '../../src/contract/protocol.ts'
import { ApiError, ask, basePath } from '../data/api.ts'
import {
  drainRunner,
  getRunner,
  keepRunnersLive,
  removeRunner,
  resumeRunner,
  runnersQuery,
} from '../data/runners.ts'
import { meQuery } from '../data/session.ts'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { RouteLine } from '../parts/route-line.tsx'
import { When } from '../parts/times.tsx'
import { SettingsFrame } from '../settings/settings-frame.tsx'

const states: Record<RunnerView['status'], { dot: string; word: string }> = {
  connected: { dot: 'rounded-full bg-ok', word: 'text-ok' },
  draining: { dot: 'bg-ask-fill [clip-path:polygon(0_15%,100%_15%,50%_100%)]', word: 'text-ask' },
  disconnected: { dot: 'rounded-full border-2 border-dashed border-gone', word: 'text-gone' },
}

const columns =
  'grid grid-cols-[10px_minmax(9rem,1.6fr)_7rem_minmax(6rem,10rem)_8rem_minmax(0,1fr)_5rem_auto] items-center gap-x-4 px-5'

const newOnes = (runners: readonly RunnerView[] | undefined, known: readonly string[]) =>
  (runners ?? []).filter(({ id }) => !known.includes(id))

function byGroup(runners: readonly RunnerView[]): [string, RunnerView[]][] {
  return [...Map.groupBy(runners, ({ group }) => group)].sort(([a], [b]) => a.localeCompare(b))
}

/** Machines that take work, and how one more is added. */
export function RunnersPage() {
  const client = useQueryClient()
  const { data: me } = useQuery(meQuery)
  const [enrollment, setEnrollment] = useState<EnrollmentCreated & { known: readonly string[] }>()
  const { data, error } = useQuery(runnersQuery)
  useEffect(() => keepRunnersLive(client), [client])
  const again = () => client.invalidateQueries({ queryKey: runnersQuery.queryKey })
  const isAdmin = me?.role === 'admin'
  const connected = (data ?? []).filter(({ status }) => status === 'connected')
  const slots = connected.reduce((sum, one) => sum + one.slots, 0)
  const taken = connected.reduce((sum, one) => sum + one.running, 0)
  return (
    <SettingsFrame
      title="Runners"
      aside={
        <>
          <span className="text-meta text-ink2 max-sm:hidden">
            {data === undefined ? '' : `${taken} of ${slots} slots in use`}
          </span>
          {isAdmin && (
            <ActionButton
              kind="main"
              doing="Making a command…"
              act={async () => {
                const made = await ask<EnrollmentCreated>('POST', '/api/runners/enrollments', { body: {} })
                setEnrollment({ ...made, known: (data ?? []).map(({ id }) => id) })
              }}
            >
              <Plus size={14} strokeWidth={1.75} aria-hidden /> Add a runner
            </ActionButton>
          )}
        </>
      }
    >
      {enrollment !== undefined && (
        <Enrol
          token={enrollment.token}
          expiresAt={enrollment.expires_at}
          came={newOnes(data, enrollment.known)}
          close={() => setEnrollment(undefined)}
        />
      )}
      {error instanceof ApiError && (
        <div className="m-5">
          <Failure error={error} />
        </div>
      )}
      {data?.length === 0 && (
        <div className="px-5 py-24 text-center">
          <p className="text-empty font-semibold">No machine is connected, so work waits</p>
          <p className="mt-1 text-ink2">{isAdmin ? 'Add a runner above.' : 'An admin can add one.'}</p>
        </div>
      )}
      {data !== undefined && data.length > 0 && (
        <div aria-hidden="true" className={`${columns} pt-3 text-label text-ink2 max-lg:hidden`}>
          <span />
          <span>Runner</span>
          <span>State</span>
          <span>Slots</span>
          <span>Cores kept</span>
          <span>Agents</span>
          <span>Version</span>
          <span className="w-16" />
        </div>
      )}
      {byGroup(data ?? []).map(([group, runners]) => (
        <section key={group} aria-label={`Group ${group}`}>
          <h2 className="flex items-baseline gap-2 px-5 pt-5 pb-2 font-semibold">
            {group}
            <span className="text-meta font-normal text-ink2">
              {runners.length} {runners.length === 1 ? 'runner' : 'runners'}
            </span>
          </h2>
          <ul>
            {runners.map((runner) => (
              <Row key={runner.id} runner={runner} isAdmin={isAdmin} again={again} />
            ))}
          </ul>
        </section>
      ))}
    </SettingsFrame>
  )
}

function Row({
  runner,
  isAdmin,
  again,
}: {
  runner: RunnerView
  isAdmin: boolean
  again: () => Promise<void>
}) {
  const [removing, setRemoving] = useState(false)
  const { dot, word } = states[runner.status]
  const labels = Object.entries(runner.labels).map(([name, value]) => `${name}=${value}`)
  const usedCpus = runner.free_cpus === undefined ? undefined : runner.cpus - runner.free_cpus
  const agents = (runner.agents ?? []).filter(({ usable }) => usable).map(({ name }) => name)
  return (
    <li
      className={`${columns} min-h-12 border-t border-line py-1.5 hover:bg-hover max-lg:grid-cols-[10px_minmax(0,1fr)_auto_auto]`}
    >
      <span className={`size-2 ${dot}`} />
      <span className="min-w-0">
        <span className="block truncate font-medium">
          <bdi>{runner.id}</bdi>
        </span>
        <span className="block truncate text-label text-ink2">
          <bdi>{[runner.hostname, ...labels].join(' · ')}</bdi>
        </span>
      </span>
      <span className={`text-meta ${word}`}>
        {runner.status}
        {runner.status === 'disconnected' && (
          <span className="block text-label text-ink2">
            heard <When time={runner.last_seen_at} />
          </span>
        )}
      </span>
      <span
        className="flex flex-wrap items-center gap-0.5 max-lg:hidden"
        role="img"
        aria-label={`${runner.running} of ${runner.slots} slots in use`}
      >
        {Array.from({ length: Math.min(runner.slots, 16) }, (_, index) => (
          <span
            // biome-ignore lint/suspicious/noArrayIndexKey: slots have no names
            key={index}
            className={`size-[7px] rounded-[2px] ${index < runner.running ? 'bg-accent' : 'border border-line2'}`}
          />
        ))}
        <span className="ml-1 text-meta text-ink2">
          {runner.running}/{runner.slots}
        </span>
      </span>
      <span className="text-meta text-ink2 max-lg:hidden">
        {usedCpus === undefined ? '' : `${Math.round(usedCpus * 10) / 10} of ${runner.cpus} cores`}
      </span>
      <span className="truncate text-meta text-ink2 max-lg:hidden">{agents.join(', ')}</span>
      <span className="font-mono text-meta text-ink2 max-lg:hidden">{runner.version}</span>
      <span className="flex w-16 justify-end gap-1 max-lg:w-auto">
        {isAdmin && runner.status === 'connected' && (
          <ActionButton
            kind="plain"
            doing="Draining…"
            title="It takes nothing new, and ends what it has"
            act={() => drainRunner(runner).then(again)}
          >
            Drain
          </ActionButton>
        )}
        {isAdmin && runner.status === 'draining' && (
          <ActionButton kind="plain" doing="Resuming…" act={() => resumeRunner(runner).then(again)}>
            Resume
          </ActionButton>
        )}
        {isAdmin && (
          <button type="button" className="button button-plain" onClick={() => setRemoving(true)}>
            Remove…
          </button>
        )}
      </span>
      {removing && <Remove runner={runner} again={again} close={() => setRemoving(false)} />}
    </li>
  )
}

/** Asks once more, and says what the runner has that is lost with it. */
function Remove({
  runner,
  again,
  close,
}: {
  runner: RunnerView
  again: () => Promise<void>
  close: () => void
}) {
  const { data } = useQuery({
    queryKey: ['runner', runner.id],
    queryFn: ({ signal }) => getRunner(runner, signal),
    staleTime: 0,
  })
  const count = data?.attempts.length
  return (
    <Confirm
      title={`Remove ${runner.id}?`}
      keep="Keep it"
      verb="Remove runner"
      doing="Removing…"
      act={async () => {
        await removeRunner(runner)
        void again()
      }}
      close={close}
    >
      Its token is revoked, and it has to be enrolled anew.{' '}
      {count === undefined
        ? 'What it is at is lost.'
        : count === 0
          ? 'It is at nothing.'
          : `${count} ${count === 1 ? 'attempt is' : 'attempts are'} lost: ${data!.attempts
              .slice(0, 3)
              .map(({ step, workflow_name }) => `${step} of ${workflow_name}`)
              .join(', ')}${count > 3 ? ', …' : ''}.`}
      {runner.status !== 'disconnected' && ' To lose nothing, drain it first.'}
    </Confirm>
  )
}

interface EnrolProps {
  token: string
  expiresAt: string | undefined
  came: readonly RunnerView[]
  close: () => void
}

/** The command for the new machine; says when it came. */
function Enrol({ token, expiresAt, came, close }: EnrolProps) {
  const hub = `${location.origin}${basePath}`
  const command = `errand runner enroll --hub ${hub} --token ${token}`
  return (
    <section aria-label="Add a runner" className="mx-5 mt-4 rounded-[10px] border border-accent">
      <header className="flex h-11 items-center border-b border-line px-4">
        <h2 className="font-semibold">Add a runner</h2>
        <button
          type="button"
          aria-label="Close"
          className="ml-auto p-1 text-ink2 hover:text-ink"
          onClick={close}
        >
          <X size={15} strokeWidth={1.75} aria-hidden />
        </button>
      </header>
      <div className="flex flex-wrap items-start gap-4 p-4">
        <div className="min-w-0 flex-1 basis-96">
          <p className="mb-2 text-ink2">
            On the new machine. It only calls out, so nothing has to be opened there.
          </p>
          <div className="flex items-start gap-3 rounded-lg border border-line bg-sunken p-3">
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well */}
            <pre tabIndex={0} className="min-w-0 flex-1 font-mono text-meta break-all whitespace-pre-wrap">
              {command}
            </pre>
            <CopyButton text={command} label="Copy the command" word="Copy" />
          </div>
          <p className="mt-2 text-label text-ink2">
            Good once{expiresAt === undefined ? '' : ', until '}
            {expiresAt !== undefined && <When time={expiresAt} />}. The token is shown this one time. Then
            start it there with <code className="font-mono">errand runner</code>.
          </p>
        </div>
        <div role="status" className="basis-60 text-meta text-ink2">
          <span aria-hidden className="mb-2 block">
            <RouteLine route={{ stops: came.length === 0 ? 'dra' : 'dda' }} />
          </span>
          {came.length === 0 ? (
            <>
              <p className="mb-1 font-medium text-accent">Waiting for it to call</p>
              <p>
                Nothing after two minutes? Is the hub reachable from there:{' '}
                <code className="font-mono break-all">curl {hub}/health</code>
              </p>
            </>
          ) : (
            came.map((runner) => (
              <p key={runner.id} className="font-medium text-ok">
                {runner.id} is here, {runner.slots} slots
              </p>
            ))
          )}
        </div>
      </div>
    </section>
  )
}
