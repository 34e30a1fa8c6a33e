import { useQuery } from '@tanstack/react-query'
import type { Health } from '../../src/contract/run-api.ts'
import { hubFactsQuery } from '../data/account.ts'
import { ask, basePath } from '../data/api.ts'
import { clockOf } from '../data/clock.ts'
import { hubAddress } from '../data/hub-address.ts'
import { meQuery } from '../data/session.ts'
import { CopyButton } from '../parts/copy-button.tsx'
import { Part, SettingsFrame } from './settings-frame.tsx'

/** Shows the hub's version and how other programs reach it. */
export function AboutPage() {
  const { data: me } = useQuery(meQuery)
  const { data: health } = useQuery({ queryKey: ['health'], queryFn: () => ask<Health>('GET', '/health') })
  const isOperator = me?.role === 'admin' && me.tenant === 'default'
  const { data: about } = useQuery({ ...hubFactsQuery, enabled: isOperator })
  const hub = hubAddress(location.origin, basePath)
  const login = `errand login ${hub}`
  const facts = [
    ['Version', health?.version ?? me?.version],
    [
      'State',
      health === undefined
        ? undefined
        : `${health.status}, up for ${clockOf(health.uptime_seconds * 1000)}${
            health.taking_up === undefined
              ? ''
              : `, resuming runs: ${health.taking_up.done} of ${health.taking_up.of}`
          }`,
    ],
    ['Address', hub],
    ['Tenant', me?.tenant],
    ...(about === undefined
      ? []
      : ([
          [
            'Data',
            `${about.data.is_whole ? '' : 'more than '}${size(about.data.bytes)}; ${size(about.data.free_bytes)} free on its disk`,
          ],
          [
            'Ended runs',
            about.runs_kept_seconds === undefined
              ? 'kept forever (set ERRAND_RETENTION to change this)'
              : `kept for ${Math.round((about.runs_kept_seconds / 86_400) * 10) / 10} days`,
          ],
        ] as const)),
  ] as const
  return (
    <SettingsFrame title="Version">
      <Part title="This hub">
        <dl className="grid grid-cols-[7rem_1fr] gap-y-2">
          {facts.map(([word, text]) => (
            <div key={word} className="contents">
              <dt className="text-ink2">{word}</dt>
              <dd className="break-all">{text}</dd>
            </div>
          ))}
        </dl>
      </Part>
      <Part title="Command line" about="After this login, errand commands use this hub.">
        <div className="flex items-center gap-3 rounded-lg border border-line bg-sunken p-3">
          <code className="min-w-0 flex-1 font-mono text-meta break-all">{login}</code>
          <CopyButton text={login} label="Copy the command" word="Copy" />
        </div>
      </Part>
      <Part title="API">
        <p className="flex flex-wrap gap-x-6 gap-y-2">
          <a className="reach text-accent hover:underline" href={`${basePath}/docs`}>
            API reference
          </a>
          <a className="reach text-accent hover:underline" href={`${basePath}/api/openapi.json`}>
            openapi.json
          </a>
        </p>
        <p className="mt-3 text-meta text-ink2">Errand is free software under the Apache License 2.0.</p>
      </Part>
    </SettingsFrame>
  )
}

const size = (bytes: number): string =>
  bytes >= 1024 ** 3 ? `${(bytes / 1024 ** 3).toFixed(1)} GB` : `${Math.ceil(bytes / 1024 ** 2)} MB`
