import { useState } from 'react'
import type { ChangePool, PoolChange, PoolView } from '../../src/contract/fleet/provisioning.ts'
import { clockOf } from '../data/clock.ts'
import { changePool, emptyPool } from '../data/runners.ts'
import { Confirm } from '../parts/confirm.tsx'
import { RowMenu } from '../parts/row-menu.tsx'
import { useLeft } from '../parts/time-left.ts'
import { When } from '../parts/times.tsx'
import { Labelled } from './settings-frame.tsx'

const states = {
  starting: 'starting',
  idle: 'idle',
  working: 'working',
  removing: 'being removed',
} as const

/** Shows how a group's runners are provisioned, what is under way, why nothing is, and what admins have changed. */
export function PoolFacts({ pool }: { pool: PoolView }) {
  const { provisioner, counts, max, spare, paused, breaker, runners, changes } = pool
  const there = Object.entries(states).filter(([state]) => counts[state as keyof typeof states] > 0)
  const stuck = runners.filter(
    ({ state, waits_for }) => (state === 'starting' || state === 'removing') && waits_for !== undefined,
  )
  return (
    <div className="flex min-w-0 flex-col gap-1 text-meta break-words">
      <span>
        <code className="font-mono">{provisioner}</code>, at most {max}
        {spare > 0 && `, ${spare} spare`}
        <span className="text-ink2">
          {there.length === 0
            ? ': none now'
            : `: ${there.map(([state, word]) => `${counts[state as keyof typeof states]} ${word}`).join(', ')}`}
        </span>
        {paused && <span className="font-medium text-ask"> Paused: no new runners.</span>}
      </span>
      {stuck.map(({ name, state, waits_for }) => (
        <span key={name} className="text-ask">
          <bdi>{name}</bdi> {state === 'removing' ? 'cannot be removed yet' : 'waits'}: <bdi>{waits_for}</bdi>
        </span>
      ))}
      {breaker !== undefined && (
        <span className="text-bad">
          No runner starts: <bdi>{breaker.message}</bdi> <NextTry at={breaker.until} />
        </span>
      )}
      {changes.map((change) => (
        <Changed key={change.key} change={change} />
      ))}
    </div>
  )
}

function NextTry({ at }: { at: string }) {
  const left = useLeft(at)
  if (left === 0) return 'Trying now.'
  return (
    <>
      Next try in <span className="tabular-nums">{clockOf(left)}</span>.
    </>
  )
}

const text = (key: PoolChange['key'], value: PoolChange['value']): string =>
  key === 'paused' ? (value ? 'paused' : 'not paused') : `${words[key]} ${value}`
const words = { max: 'at most', spare: 'spare', idle_seconds: 'idle time' } as const
const unit = ({ key }: PoolChange) => (key === 'idle_seconds' ? ' s' : '')

/** Shows a setting that overrides the one in the file. */
function Changed({ change }: { change: PoolChange }) {
  const { key, value, file, by, at } = change
  return (
    <span className="text-ink2">
      Changed: {text(key, value)}
      {unit(change)}, by <bdi>{by}</bdi>, <When time={at} /> (<code className="font-mono">errand.yaml</code>:{' '}
      {key === 'paused' ? text(key, file) : `${file}${unit(change)}`})
    </span>
  )
}

interface Props {
  pool: PoolView
  again: () => Promise<unknown>
}

/** Offers the actions of a hub operator on such a group. */
export function PoolMenu({ pool, again }: Props) {
  const [requested, setRequested] = useState<'pause' | 'resume' | 'change' | 'empty' | 'reset'>()
  const { group, paused, breaker, changes } = pool
  const close = () => setRequested(undefined)
  const change = async (to: ChangePool) => {
    await changePool(group, to)
    await again()
  }
  const sheet = { close, destructive: false }
  return (
    <>
      <RowMenu
        label={`More for ${group}`}
        actions={[
          ...(paused || breaker !== undefined
            ? [{ word: paused ? 'Resume…' : 'Try again now…', act: () => setRequested('resume') }]
            : []),
          ...(paused ? [] : [{ word: 'Pause…', act: () => setRequested('pause') }]),
          { word: 'Change…', act: () => setRequested('change') },
          ...(changes.length > 0 ? [{ word: 'Reset to the file…', act: () => setRequested('reset') }] : []),
          { word: 'Empty…', bad: true, act: () => setRequested('empty') },
        ]}
      />
      {requested === 'pause' && (
        <Confirm
          {...sheet}
          title={`Pause ${group}?`}
          keep="Cancel"
          verb="Pause group"
          doing="Pausing…"
          act={() => change({ paused: true })}
        >
          No new runners are provisioned. {there(pool)} Waiting runs keep waiting.
        </Confirm>
      )}
      {requested === 'resume' && (
        <Confirm
          {...sheet}
          title={paused ? `Resume ${group}?` : `Try ${group} again now?`}
          keep="Cancel"
          verb={paused ? 'Resume group' : 'Try again'}
          doing={paused ? 'Resuming…' : 'Trying…'}
          act={() => change({ paused: false })}
        >
          {pool.waiting === 0
            ? 'No runs are waiting for it.'
            : `Runners are provisioned for ${pool.waiting} waiting ${pool.waiting === 1 ? 'run' : 'runs'}.`}
        </Confirm>
      )}
      {requested === 'reset' && (
        <Confirm
          {...sheet}
          title={`Reset ${group} to the file?`}
          keep="Cancel"
          verb="Reset group"
          doing="Resetting…"
          act={() => change({ max: null, spare: null, idle_seconds: null, paused: null })}
        >
          {changes.map((each) => (
            <div key={each.key}>
              {text(each.key, each.file)}
              {unit(each)} instead of {`${each.value}`}
            </div>
          ))}
        </Confirm>
      )}
      {requested === 'change' && <Change {...sheet} pool={pool} change={change} />}
      {requested === 'empty' && <Empty pool={pool} again={again} close={close} />}
    </>
  )
}

const there = ({ counts: { starting, idle, working } }: PoolView): string =>
  starting + idle + working === 0
    ? 'It has no runners now.'
    : `Its runners continue: ${starting} starting, ${idle} idle, ${working} working.`

const figures = [
  { key: 'max', word: 'Maximum', least: 1 },
  { key: 'spare', word: 'Spare', least: 0 },
  { key: 'idle_seconds', word: 'Idle time (seconds)', least: 0 },
] as const

function Change({
  pool,
  change,
  close,
}: {
  pool: PoolView
  change: (to: ChangePool) => Promise<void>
  close: () => void
}) {
  const [values, setValues] = useState({
    max: `${pool.max}`,
    spare: `${pool.spare}`,
    idle_seconds: `${pool.idle_seconds}`,
  })
  const changed = () =>
    Object.fromEntries(
      figures.flatMap(({ key }) => {
        // An empty field restores the value from the file.
        const to = values[key].trim() === '' ? null : Number(values[key])
        return to === pool[key] ? [] : [[key, to]]
      }),
    ) as ChangePool
  return (
    <Confirm
      title={`Change ${pool.group}?`}
      keep="Cancel"
      verb="Change group"
      doing="Changing…"
      destructive={false}
      act={() => change(changed())}
      close={close}
    >
      <p className="mb-3">
        The change lasts until you reset the group, or <code className="font-mono">errand.yaml</code> gets
        another value for it. An empty field uses the value from the file.
      </p>
      <div className="flex flex-col gap-3">
        {figures.map(({ key, word, least }) => (
          <Labelled key={key} word={word}>
            <input
              className="field"
              type="number"
              inputMode="numeric"
              min={least}
              value={values[key]}
              onChange={({ target }) => setValues({ ...values, [key]: target.value })}
            />
          </Labelled>
        ))}
      </div>
    </Confirm>
  )
}

function Empty({ pool, again, close }: Props & { close: () => void }) {
  const [working, setWorking] = useState(false)
  const { group, counts, paused } = pool
  return (
    <Confirm
      title={`Empty ${group}?`}
      keep="Keep them"
      verb="Empty group"
      doing="Emptying…"
      act={async () => {
        await emptyPool(group, working)
        await again()
      }}
      close={close}
    >
      <p className="mb-3">
        This removes {counts.starting} starting and {counts.idle} idle runners.{' '}
        {paused ? 'The group is paused, so it gets no new ones.' : 'Waiting runs get new ones.'}
      </p>
      <label className="flex items-center gap-2 max-sm:min-h-11">
        <input
          type="checkbox"
          className="size-4 max-sm:size-6"
          checked={working}
          onChange={({ target }) => setWorking(target.checked)}
        />
        Also working runners ({counts.working}); their work is lost
      </label>
    </Confirm>
  )
}
