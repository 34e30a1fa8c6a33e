import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Hourglass, Plus } from 'lucide-react'
import { useEffect, useId, useState } from 'react'
import type { PoolView } from '../../src/contract/fleet/provisioning.ts'
import type { RunnerWait } from '../../src/contract/fleet/runner-groups.ts'
import type { ListedRunner } from '../../src/contract/runner-api.ts'
import { ApiError } from '../data/api.ts'
import { groupsQuery, keepRunnersLive, runnersQuery, waitsQuery } from '../data/runners.ts'
import { meQuery } from '../data/session.ts'
import { Link, useNavigate, useSearch } from '../navigation/navigation.tsx'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import { PoolFacts, PoolMenu } from '../settings/provisioned-pool.tsx'
import { SettingsFrame } from '../settings/settings-frame.tsx'
import { Enrol, type Enrolled, enrolOne } from './enrol.tsx'
import { columns, count, RunnerRow } from './runner-row.tsx'

/** Number of a group's runners shown at first. */
const MOST_ROWS = 100

interface Shown {
  name: string
  runners: ListedRunner[]
  wait: RunnerWait | undefined
  repositories: readonly string[]
  pool: PoolView | undefined
}

/** Shows the machines that take work, the runs that wait for them, and how to add a machine. */
export function RunnersPage() {
  const client = useQueryClient()
  const { add, runner: open } = useSearch('/settings/runners')
  const go = useNavigate()
  const { data: me } = useQuery(meQuery)
  const [enrolled, setEnrolled] = useState<Enrolled>()
  const { data, error } = useQuery(runnersQuery)
  const { data: waits } = useQuery(waitsQuery)
  const { data: groups } = useQuery(groupsQuery)
  useEffect(() => keepRunnersLive(client), [client])
  const again = () => client.invalidateQueries({ queryKey: runnersQuery.queryKey })
  const show = (search: { add?: string; runner?: string }) =>
    void go({ to: '/settings/runners', search, replace: true })
  const againGroups = () => client.invalidateQueries({ queryKey: groupsQuery.queryKey })
  const [whole, setWhole] = useState<readonly string[]>([])
  const isShown = ({ id, group }: ListedRunner, index: number) =>
    index < MOST_ROWS || id === open || whole.includes(group)
  const isAdmin = me?.role === 'admin'
  const isOperator = isAdmin && me.tenant === 'default'
  const here = (data ?? []).filter(({ status }) => status !== 'disconnected')
  const slots = here.reduce((sum, one) => sum + one.slots, 0)
  const taken = here.reduce((sum, one) => sum + one.running, 0)
  const waiting = (waits ?? []).reduce((sum, { runs }) => sum + runs, 0)
  const nameless = waits?.find(({ group }) => group === undefined)
  const shown: Shown[] = [
    ...new Set([
      ...(data ?? []).map(({ group }) => group),
      ...(waits ?? []).flatMap(({ group }) => group ?? []),
      ...(groups ?? []).filter(({ made, pool }) => made || pool !== undefined).map(({ name }) => name),
    ]),
  ]
    .sort((a, b) => a.localeCompare(b))
    .map((name) => ({
      name,
      runners: (data ?? []).filter(({ group }) => group === name),
      wait: waits?.find(({ group }) => group === name),
      repositories: groups?.find((group) => group.name === name)?.repositories ?? [],
      pool: groups?.find((group) => group.name === name)?.pool,
    }))
  // A view has only one main button; an open form has its own.
  const adding = isAdmin && (
    <ActionButton
      {...(add === undefined ? { kind: 'main' as const } : {})}
      doing="Creating the command…"
      act={async (key) => {
        setEnrolled(await enrolOne('default', data, key))
        show({ add: '1' })
      }}
    >
      <Plus size={14} strokeWidth={1.75} aria-hidden /> Add a runner
    </ActionButton>
  )
  return (
    <SettingsFrame
      title="Runners"
      aside={
        <>
          <span className="text-meta text-ink2 max-sm:hidden">
            {slots === 0 ? '' : `${taken} of ${count(slots, 'slot')} in use`}
            {waiting > 0 && (
              <span className="font-medium text-ask">
                {slots > 0 && ', '}
                {count(waiting, 'run')} waiting
              </span>
            )}
          </span>
          {data?.length !== 0 && adding}
        </>
      }
    >
      {isAdmin && add !== undefined && (
        <Enrol
          enrolled={enrolled}
          runners={data}
          become={setEnrolled}
          close={() => {
            setEnrolled(undefined)
            show({})
          }}
        />
      )}
      {error instanceof ApiError && (
        <div className="mx-edge my-5">
          <Failure error={error} />
        </div>
      )}
      {data?.length === 0 && (
        <div className="px-edge py-16 text-center">
          <p className="text-empty font-semibold">No runner is connected, so work waits</p>
          <p className="mt-1 mb-6 text-ink2">
            {isAdmin ? 'Any machine that can reach this hub can be a runner.' : 'An admin can add one.'}
          </p>
          {adding}
        </div>
      )}
      {data !== undefined && data.length > 0 && (
        <div aria-hidden="true" className={`${columns} pt-3 text-label text-ink2 max-lg:hidden`}>
          <span />
          <span>Runner</span>
          <span>State</span>
          <span>Current work</span>
          <span>Slots</span>
          <span>Cores used</span>
          <span>Agents</span>
          <span>Version</span>
          <span />
        </div>
      )}
      {nameless !== undefined && (
        <section aria-label="Waiting for a runner by name" className="pt-3">
          <Waits wait={nameless} />
        </section>
      )}
      {shown.map(({ name, runners, wait, repositories, pool }) => (
        <section key={name} aria-label={`Group ${name}`} className="pb-2">
          <div className="flex flex-wrap items-center gap-x-2 gap-y-1 px-edge pt-4 pb-2">
            <h2 className="font-semibold">
              <bdi>{name}</bdi>
            </h2>
            <span className="text-meta text-ink2">
              {runners.length === 0 ? 'no runners' : count(runners.length, 'runner')}
              {repositories.length > 0 && `, ${count(repositories.length, 'repository', 'repositories')}`}
            </span>
            <span className="order-last ml-auto max-sm:hidden">
              <Link
                to="/settings/groups"
                className="reach text-meta text-ink2 hover:text-ink hover:underline"
              >
                Groups
              </Link>
            </span>
            {wait !== undefined && <Waits wait={wait} />}
            {pool !== undefined && isOperator && (
              <span className="order-last max-sm:ml-auto">
                <PoolMenu pool={pool} again={againGroups} />
              </span>
            )}
          </div>
          {pool !== undefined && (
            <div className="px-edge pb-2">
              <PoolFacts pool={pool} />
            </div>
          )}
          <ul>
            {runners.filter(isShown).map((runner) => (
              <RunnerRow
                key={runner.id}
                runner={runner}
                hubVersion={me?.version}
                isAdmin={isAdmin}
                isOpen={open === runner.id}
                toggle={() => show(open === runner.id ? { add } : { add, runner: runner.id })}
                again={again}
              />
            ))}
          </ul>
          <Rest
            runners={runners.filter((runner, index) => !isShown(runner, index))}
            show={() => setWhole([...whole, name])}
          />
        </section>
      ))}
    </SettingsFrame>
  )
}

/** Lists the runners of a large group that are not shown at first. */
function Rest({ runners, show }: { runners: readonly ListedRunner[]; show: () => void }) {
  if (runners.length === 0) return null
  const away = runners.filter(({ status }) => status === 'disconnected').length
  return (
    <button type="button" className="button mx-edge my-2" onClick={show}>
      {runners.length} more{away > 0 && `, ${away} of them disconnected`}
    </button>
  )
}

/** Says how much waits and why; opened, it lists the steps. */
function Waits({ wait: { runs, attempts, steps } }: { wait: RunnerWait }) {
  const [isOpen, setOpen] = useState(false)
  const list = useId()
  const why = [...new Set(steps.map((step) => step.why))]
  return (
    <>
      <button
        type="button"
        className="inline-flex min-h-6 max-w-full items-center gap-1.5 rounded-[5px] bg-ask-soft px-2 text-left text-label text-ask hover:underline max-sm:min-h-11"
        aria-expanded={isOpen}
        aria-controls={list}
        onClick={() => setOpen(!isOpen)}
      >
        <Hourglass size={12} strokeWidth={1.75} aria-hidden className="shrink-0" />
        <span className="min-w-0 truncate">
          {count(runs, 'run')} waiting
          {why[0] !== undefined && `: ${why[0]}`}
          {why.length > 1 && `, and ${why.length - 1} other ${why.length === 2 ? 'reason' : 'reasons'}`}
        </span>
      </button>
      {isOpen && (
        <ul
          id={list}
          className="order-last flex basis-full flex-col gap-1 rounded-lg bg-sunken p-3 text-meta"
        >
          {steps.map(({ run_id, step, workflow_name, attempts, why }) => (
            <li key={`${run_id} ${step} ${why}`} className="break-words">
              <Link
                to="/runs/$run"
                params={{ run: run_id }}
                search={{ step }}
                className="inline-block py-1 hover:underline max-sm:py-3.5"
              >
                <bdi className="font-medium">{step}</bdi> of <bdi>{workflow_name}</bdi>
              </Link>
              {attempts > 1 && ` × ${attempts}`}
              <span className="text-ink2">
                {' '}
                – <bdi>{why}</bdi>
              </span>
            </li>
          ))}
          {steps.reduce((sum, step) => sum + step.attempts, 0) < attempts && (
            <li className="text-ink2">
              {count(attempts - steps.reduce((sum, step) => sum + step.attempts, 0), 'more attempt')}, in
              steps that are not shown here
            </li>
          )}
        </ul>
      )}
    </>
  )
}
