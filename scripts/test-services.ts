import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { importsOf } from './imports.ts'

/** The services of a machine that tests may use, and that `ERRAND_TEST_WITHOUT` can hide. */
export const services = [
  'docker',
  'kubernetes',
  'agents',
  'guests',
  'sandboxes',
  'browsers',
  'gitea',
] as const
export type Service = (typeof services)[number]

/** Matches how a test, or a module that supports tests, checks whether it can run: the call, not the definition. */
const signs: readonly [Service, RegExp][] = [
  ['docker', /(?<!function )\b(dockerHere|ownEngineHere)\(|\bprocess\.env\.DOCKER_(HOST|SOCK)\b/],
  ['kubernetes', /(?<!function )\bkubernetesHere\(/],
  [
    'agents',
    /(?<!function )\b(agentMissing|installedAgent)\(|\b\w+\.locate\(|\bskip\('[^']* is not installed here/,
  ],
  ['guests', /(?<!function )\bguestMissing\(/],
  ['sandboxes', /(?<!function )\bsandboxMissing\(/],
  ['gitea', /(?<!function )(?<!const )\bgiteaMissing\(/],
  ['browsers', /\bERRAND_TEST_WITHOUT\?\.includes\('browsers'\)/],
]

/**
 * Returns a function that names the services of a test file: those that the file itself, or a module of the tests'
 * support that it imports, asks for. Product code does not count, because it must work without each of them.
 */
export function servicesOf(root: string): (file: string) => Service[] {
  const known = new Map<string, { asks: Service[]; imports: string[] }>()
  const read = (file: string) => {
    const path = join(root, file)
    const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
    const imports = importsOf(file, text).filter(({ target, kind }) => kind !== 'type' && isOfTests(target))
    // Tests of the test command contain the texts of such files.
    const own = file.startsWith('scripts/') ? [] : namedIn(text)
    const found = { asks: own, imports: imports.map(({ target }) => target) }
    known.set(file, found)
    return found
  }
  return (file) => {
    const required = new Set<Service>()
    const reached = new Set([file])
    // The loop also visits what is added to the set while it runs.
    for (const each of reached) {
      const { asks, imports } = known.get(each) ?? read(each)
      for (const service of asks) required.add(service)
      for (const target of imports) reached.add(target)
    }
    return services.filter((service) => required.has(service))
  }
}

const namedIn = (text: string): Service[] =>
  signs.flatMap(([service, sign]) => (sign.test(text) ? [service] : []))

const isOfTests = (file: string): boolean => /^(test|bench)\//.test(file)

/** Returns why tests of the service would be skipped on this machine, or false. */
export async function missingService(service: Service): Promise<string | false> {
  switch (service) {
    case 'docker':
      return await (await import('../test/support/docker/docker.ts')).dockerHere()
    case 'kubernetes':
      return await (await import('../test/support/kubernetes/kubernetes.ts')).kubernetesHere()
    case 'agents':
      return await agentsMissing()
    case 'guests':
      return (await import('../test/support/guest/guest.ts')).guestMissing()
    case 'sandboxes':
      return (await import('../test/support/runner/box-fixture.ts')).sandboxMissing()
    case 'gitea':
      return (await import('../test/support/forge/gitea/gitea.ts')).giteaMissing()
    case 'browsers':
      return (await import('../test/support/web/browser.ts')).skip
  }
}

async function agentsMissing(): Promise<string | false> {
  const { installedAgent } = await import('../test/support/agent-subjects.ts')
  const { agentInstalls } = await import('../src/agents/registry.ts')
  const found = await Promise.all(Object.keys(agentInstalls).map((name) => installedAgent(name)))
  return found.flatMap((subject) => ('missing' in subject ? subject.missing : []))[0] ?? false
}
