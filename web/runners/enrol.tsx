import { useQuery, useQueryClient } from '@tanstack/react-query'
import { X } from 'lucide-react'
import { type ReactNode, useId, useState } from 'react'
import unit from '../../deploy/systemd/errand-runner.service?raw'
import type { EnrollmentCreated } from '../../src/contract/protocol.ts'
import type { ListedRunner } from '../../src/contract/runner-api.ts'
import { revokeToken } from '../data/account.ts'
import { ApiError, basePath } from '../data/api.ts'
import { hubNow } from '../data/clock.ts'
import { hubAddress } from '../data/hub-address.ts'
import { createEnrollment, groupsQuery, makeGroup } from '../data/runners.ts'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import CopyAsCli from '../parts/copy-as-cli.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { RouteLine } from '../parts/route-line.tsx'
import { When } from '../parts/times.tsx'
import { type EnrolWay, enrolCommand, enrolWays, freeName, isLoopback, labelsOf } from './enrol-commands.ts'

/** A token that was created here, and the runners that existed before it. */
export interface Enrolled extends EnrollmentCreated {
  known: readonly string[]
  atMs: number
}

/** Creates a token for one machine. */
export async function enrolOne(
  group: string,
  runners: readonly ListedRunner[] | undefined,
  key?: string,
): Promise<Enrolled> {
  const made = await createEnrollment(group, key)
  return { ...made, known: (runners ?? []).map(({ id }) => id), atMs: hubNow() }
}

/** Returns the runners that have connected since the token was created, new or again. */
const cameSince = ({ known, atMs, group }: Enrolled, runners: readonly ListedRunner[] | undefined) =>
  (runners ?? []).filter(
    ({ id, status, connected_at, group: of }) =>
      status === 'connected' &&
      (!known.includes(id) || Date.parse(connected_at) >= atMs) &&
      (group === undefined || of === group),
  )

const NEW = '\n'

interface Props {
  enrolled: Enrolled | undefined
  runners: readonly ListedRunner[] | undefined
  become: (enrolled: Enrolled) => void
  close: () => void
}

/** Shows the commands for a new machine, reports when it has connected, and stays until it is closed. */
export function Enrol({ enrolled, runners, become, close }: Props) {
  const client = useQueryClient()
  const { data: groups } = useQuery(groupsQuery)
  const [way, setWay] = useState<EnrolWay>('command')
  const [group, setGroup] = useState(enrolled?.group ?? 'default')
  const [fresh, setFresh] = useState<string>()
  const [name, setName] = useState<string>()
  const [labels, setLabels] = useState('')
  const [failure, setFailure] = useState<ApiError>()
  const [making, setMaking] = useState(false)
  const panel = useId()
  const hub = hubAddress(location.origin, basePath)
  const came = enrolled === undefined ? [] : cameSince(enrolled, runners)
  const isOfHub = isLoopback(hub)
  // The hub's own runner may already have the machine's name.
  const id = name ?? (isOfHub ? freeName(enrolled?.known ?? []) : '')
  const labelsAreRight = labelsOf(labels) !== undefined

  /** Creates a token for another group and revokes the unused one. */
  const change = async (to: string, key?: string) => {
    setFailure(undefined)
    setMaking(true)
    try {
      const made = await enrolOne(to, runners, key)
      if (enrolled !== undefined && came.length === 0) await revokeToken(enrolled.id).catch(() => {})
      become(made)
      setGroup(to)
      setFresh(undefined)
    } catch (error) {
      if (error instanceof ApiError) setFailure(error)
      throw error
    } finally {
      setMaking(false)
    }
  }

  return (
    <section
      aria-label="Add a runner"
      className="mx-edge mt-4 overflow-clip rounded-[10px] border border-accent outline-2 outline-accent-soft"
    >
      <header className="flex min-h-12 flex-wrap items-center gap-x-3 gap-y-2 border-b border-line px-4 py-2">
        <h2 className="font-semibold">Add a runner</h2>
        <div role="tablist" aria-label="Method" className="segments">
          {enrolWays.map((one) => (
            <button
              key={one.way}
              type="button"
              role="tab"
              id={`${panel}-${one.way}`}
              aria-selected={way === one.way}
              aria-controls={panel}
              className="segment"
              onClick={() => setWay(one.way)}
              onKeyDown={({ key, currentTarget }) => {
                const by = key === 'ArrowRight' ? 1 : key === 'ArrowLeft' ? -1 : 0
                if (by === 0) return
                const all = [...currentTarget.parentElement!.children] as HTMLElement[]
                const next = all[(all.indexOf(currentTarget) + by + all.length) % all.length]!
                next.focus()
                next.click()
              }}
            >
              {one.word}
            </button>
          ))}
        </div>
        <span className="ml-auto flex items-center gap-2 max-sm:w-full">
          <label className="flex items-center gap-2 text-meta text-ink2 max-sm:flex-1">
            Group
            <select
              className="field max-w-44 min-w-0 pr-1 max-sm:flex-1"
              value={fresh === undefined ? group : NEW}
              disabled={making}
              onChange={({ target }) => {
                if (target.value === NEW) setFresh('')
                else void change(target.value).catch(() => {})
              }}
            >
              {[...new Set(['default', group, ...(groups ?? []).map(({ name }) => name)])].map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
              <option value={NEW}>New group…</option>
            </select>
          </label>
          <CopyAsCli of="token" actions={[['Create token', { do: 'enrol-token', group }]]} />
          <button
            type="button"
            aria-label="Close"
            className="inline-flex size-7 items-center justify-center rounded-md text-ink2 hover:bg-hover hover:text-ink max-sm:size-11"
            onClick={close}
          >
            <X size={15} strokeWidth={1.75} aria-hidden />
          </button>
        </span>
      </header>
      <div className="flex max-xl:flex-col">
        <div id={panel} role="tabpanel" aria-labelledby={`${panel}-${way}`} className="min-w-0 flex-1 p-4">
          {fresh !== undefined && (
            <div className="mb-3 flex flex-wrap items-end gap-2">
              <label className="flex flex-col gap-1 text-meta text-ink2 max-sm:basis-full">
                Group name
                <input
                  className="field"
                  autoComplete="off"
                  value={fresh}
                  onChange={({ target }) => setFresh(target.value)}
                />
              </label>
              <ActionButton
                doing="Creating…"
                onFailure={setFailure}
                act={async (key) => {
                  const name = fresh.trim()
                  await makeGroup(name, key)
                  await client.invalidateQueries({ queryKey: groupsQuery.queryKey })
                  await change(name)
                }}
              >
                Create group
              </ActionButton>
              <button type="button" className="button button-plain" onClick={() => setFresh(undefined)}>
                Keep {group}
              </button>
            </div>
          )}
          {failure !== undefined && (
            <div className="mb-3">
              <Failure error={failure} />
            </div>
          )}
          <div className="mb-3 flex flex-wrap gap-3">
            <label className="flex min-w-0 flex-col gap-1 text-meta text-ink2 max-sm:basis-full">
              Runner name
              <input
                className="field w-48 max-sm:w-auto"
                autoComplete="off"
                autoCapitalize="none"
                spellCheck={false}
                placeholder={way === 'command' || way === 'systemd' ? "the machine's name" : 'runner-9'}
                value={id}
                onChange={({ target }) => setName(target.value.trim())}
              />
            </label>
            <label className="flex min-w-0 flex-1 basis-48 flex-col gap-1 text-meta text-ink2 max-sm:basis-full">
              Labels (steps can request them)
              <input
                className="field"
                autoComplete="off"
                autoCapitalize="none"
                spellCheck={false}
                placeholder="gpu=a100, disk=ssd"
                aria-invalid={!labelsAreRight}
                value={labels}
                onChange={({ target }) => setLabels(target.value)}
              />
            </label>
          </div>
          {!labelsAreRight && (
            <p role="alert" className="mb-3 text-meta text-bad">
              Write a label as KEY=value. Separate labels with commas.
            </p>
          )}
          <p className="mb-2 text-ink2 [&_code]:font-mono [&_code]:text-meta">{about[way]}</p>
          {enrolled === undefined ? (
            <ActionButton
              kind="main"
              doing="Creating the command…"
              onFailure={setFailure}
              act={(key) => change(group, key)}
            >
              Create command
            </ActionButton>
          ) : (
            <Command text={enrolCommand(way, { hub, token: enrolled.token, id, labels, unit })} />
          )}
          {enrolled !== undefined && (
            <p className="mt-2 text-label text-ink2">
              Valid for one use on one machine, until <When time={enrolled.expires_at} />. The token is shown
              only once.
            </p>
          )}
        </div>
        <div
          role="status"
          className="w-72 shrink-0 border-l border-line bg-sunken p-4 text-meta text-ink2 max-xl:w-auto max-xl:border-t max-xl:border-l-0"
        >
          <span aria-hidden className="mb-2 block">
            <RouteLine
              route={{ stops: enrolled === undefined ? 'aaa' : came.length === 0 ? 'dra' : 'dda' }}
            />
          </span>
          {came.length > 0 ? (
            came.map((runner) => <Came key={runner.id} runner={runner} />)
          ) : enrolled === undefined ? (
            <p>The command contains a token that is valid for one machine.</p>
          ) : (
            <>
              <p className="mb-1 font-medium text-accent">Waiting for the runner to connect</p>
              {isOfHub ? (
                <p>
                  Only the hub's own machine can reach {location.hostname}. To add another machine, start the
                  hub with{' '}
                  <code className="font-mono break-all">ERRAND_ADDR=ADDRESS:{location.port || '80'}</code>,
                  where ADDRESS is an address of the hub's machine in a network that both machines share. Then
                  open this page at that address.
                </p>
              ) : (
                <p>
                  Nothing after two minutes? Check whether the new machine can reach the hub:{' '}
                  <code className="font-mono break-all">curl {hub}/health</code>
                </p>
              )}
            </>
          )}
        </div>
      </div>
    </section>
  )
}

const image = (
  <>
    Run this on the new machine. It needs an image of Errand: build it with{' '}
    <code>docker build -t errand -f deploy/Dockerfile .</code>
  </>
)
const about: Record<EnrolWay, ReactNode> = {
  command: (
    <>
      Run this on the new machine. It needs the command <code>errand</code>: run{' '}
      <code>npm install && npm link</code> in a checkout of Errand. The runner only makes outgoing
      connections, so no port has to be opened.
    </>
  ),
  docker: image,
  compose: image,
  systemd: (
    <>
      Run this on the new machine. It needs Errand at <code>/usr/local/bin/errand</code>. The runner starts
      with the machine, as its own user.
    </>
  ),
}

function Command({ text }: { text: string }) {
  return (
    <div className="relative rounded-lg border border-line bg-sunken">
      <pre
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
        tabIndex={0}
        className="max-h-64 overflow-auto p-3 pr-24 font-mono text-meta break-all whitespace-pre-wrap max-sm:pt-14 max-sm:pr-3"
      >
        {text}
      </pre>
      <span className="absolute top-2 right-2">
        <CopyButton text={text} label="Copy the command" word="Copy" />
      </span>
    </div>
  )
}

/** Reports a new runner: `runner-9 is connected, 8 slots, Codex usable`. */
function Came({ runner }: { runner: ListedRunner }) {
  const usable = (runner.agents ?? [])
    .filter(({ name, usable }) => usable && name !== 'acp')
    .map(({ title }) => title)
  return (
    <p className="font-medium text-ok">
      <bdi>{runner.id}</bdi> is connected, {runner.slots} slots
      {usable.length > 0 && `, ${usable.join(', ')} usable`}
    </p>
  )
}
