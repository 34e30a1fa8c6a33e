import { useQuery } from '@tanstack/react-query'
import type { ListedRunner } from '../../src/contract/runner-api.ts'
import { ApiError } from '../data/api.ts'
import { runnerQuery } from '../data/runners.ts'
import { Link } from '../navigation/navigation.tsx'
import { Failure } from '../parts/action-button.tsx'
import { When } from '../parts/times.tsx'

/** Formats a size as the page does: a runner's `4GB` becomes `4 GB`. */
const apart = (size = '') => size.replace(/([a-z]+)$/i, ' $1')

/** Shows all facts about a runner: its machine, its boxes, its agents and why one cannot be used, and its attempts. */
export function RunnerFacts({ id, runner }: { id: string; runner: ListedRunner }) {
  const { data, error } = useQuery(runnerQuery(runner.id))
  const { isolation, containers, agents } = runner
  const facts: [string, React.ReactNode][] = [
    ['Machine', `${runner.hostname}, ${runner.cpus} cores, ${apart(runner.memory)}`],
    ['Free memory', apart(runner.free_memory)],
    [
      'Labels',
      Object.entries(runner.labels)
        .map(([name, value]) => `${name}=${value}`)
        .join(', ') || 'none',
    ],
    ['Accepts', runner.mode === 'all' ? 'everything' : runner.mode],
    ['Bots', runner.bots ? `${runner.bots}, with ${runner.bots_memory} reserved for them` : 'none'],
    ...(isolation?.made_box === undefined
      ? []
      : [['Box', `its own ${isolation.made_box}, provisioned for one run`] as [string, string]]),
    ['Sandbox', isolation?.sandbox.usable ? 'yes' : `no: ${isolation?.sandbox.why ?? 'not available'}`],
    ['Containers', containers === undefined ? 'no engine' : `${containers.engine} ${containers.version}`],
    [
      runner.status === 'disconnected' ? 'Last connected' : 'Connected',
      <When key="at" time={runner.connected_at} />,
    ],
  ]
  return (
    <div
      id={id}
      className="grid grid-cols-3 gap-x-8 gap-y-5 border-t border-line bg-sunken px-edge py-4 pl-11 text-meta max-lg:grid-cols-1 max-sm:pl-edge"
    >
      <dl className="grid grid-cols-[6rem_minmax(0,1fr)] content-start gap-y-1">
        {facts.map(([word, text]) => (
          <div key={word} className="contents">
            <dt className="text-ink2">{word}</dt>
            <dd className="break-words">{typeof text === 'string' ? <bdi>{text}</bdi> : text}</dd>
          </div>
        ))}
      </dl>
      <div>
        <h3 className="mb-1 text-ink2">Agents</h3>
        {(agents ?? []).length === 0 && <p>None reported.</p>}
        <ul className="flex flex-col gap-1">
          {(agents ?? []).map((agent) => (
            <li key={agent.name}>
              <span className={agent.usable ? 'font-medium' : 'text-ink2'}>{agent.title}</span>
              {agent.version !== undefined && <span className="font-mono text-ink2"> {agent.version}</span>}
              {agent.usable ? (
                <span className="text-ok"> usable</span>
              ) : (
                <span className="block break-words text-ink2">
                  <bdi>{agent.why}</bdi>
                  {agent.install !== undefined && (
                    <code className="block font-mono text-label break-all">{agent.install}</code>
                  )}
                </span>
              )}
            </li>
          ))}
        </ul>
      </div>
      <div>
        <h3 className="mb-1 text-ink2">Current work</h3>
        {error instanceof ApiError && <Failure error={error} />}
        {data?.attempts.length === 0 && <p>Nothing{runner.running > 0 && ' of yours'}.</p>}
        <ul className="flex flex-col gap-1">
          {data?.attempts.slice(0, 20).map(({ attempt_id, run_id, step, host, workflow_name, owner }) => (
            <li key={attempt_id} className="truncate">
              <Link
                to="/runs/$run"
                params={{ run: run_id }}
                search={{ step: `${step}@${host}` }}
                className="hover:underline"
              >
                <bdi className="font-medium">{step}</bdi> of <bdi>{workflow_name}</bdi>
              </Link>
              {owner !== undefined && (
                <span className="text-ink2">
                  {' '}
                  by <bdi>{owner}</bdi>
                </span>
              )}
            </li>
          ))}
        </ul>
        {(data?.attempts.length ?? 0) > 20 && (
          <p className="text-ink2">and {data!.attempts.length - 20} more</p>
        )}
      </div>
    </div>
  )
}
