import { useQuery } from '@tanstack/react-query'
import type { Health } from '../../src/contract/run-api.ts'
import { ask, basePath } from '../data/api.ts'
import { meQuery } from '../data/session.ts'
import { CopyButton } from '../parts/copy-button.tsx'
import { Part, SettingsFrame } from './settings-frame.tsx'

/** Which hub this is, and how other programs reach it. */
export function AboutPage() {
  const { data: me } = useQuery(meQuery)
  const { data: health } = useQuery({ queryKey: ['health'], queryFn: () => ask<Health>('GET', '/health') })
  const hub = `${location.origin}${basePath}`
  const login = `errand login ${hub}`
  const facts = [
    ['Version', health?.version ?? me?.version],
    ['State', health?.status],
    ['Address', hub],
    ['Tenant', me?.tenant],
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
      <Part title="From a command line" about="Then the commands of errand find this hub.">
        <div className="flex items-start gap-3 rounded-lg border border-line bg-sunken p-3">
          <code className="min-w-0 flex-1 font-mono text-meta break-all">{login}</code>
          <CopyButton text={login} label="Copy the command" word="Copy" />
        </div>
      </Part>
      <Part title="From a program">
        <p className="flex flex-wrap gap-x-6 gap-y-2">
          <a className="reach text-accent hover:underline" href={`${basePath}/docs`}>
            The API, described
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
