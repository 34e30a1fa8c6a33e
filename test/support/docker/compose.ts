import { execFile } from 'node:child_process'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { TestDocker } from './docker.ts'

const execute = promisify(execFile)

/** Returns the docker compose that is installed: the plugin, or Debian's docker-compose 1.29. */
export async function composeHere(): Promise<readonly string[] | undefined> {
  for (const command of [['docker', 'compose'], ['docker-compose']]) {
    const [program, ...args] = command
    const answered = await execute(program!, [...args, 'version']).then(
      () => true,
      () => false,
    )
    if (answered) return command
  }
  return undefined
}

export interface ComposeUp {
  compose: readonly string[]
  docker: TestDocker
  /** The compose file. A copy of it is started in the test's folder. */
  file: string
  folder: string
  /** More files, which are used beside it. */
  beside?: readonly string[]
  /** The variables that the file needs. */
  env: Record<string, string>
  services: readonly string[]
  volumes: readonly string[]
  /** An existing network to use instead of the project's own. */
  network?: string
}

/**
 * Starts the project as a user does, but with the test's labels, so that everything is removed with the test. Returns
 * the project's name.
 */
export async function composeUp(up: ComposeUp): Promise<string> {
  const { docker, file, beside = [], folder, services, volumes, network, compose } = up
  const project = docker.name(basename(file, '.yaml').replaceAll('.', '-'))
  const { labels } = docker
  const each = <T>(names: readonly string[], value: T) =>
    Object.fromEntries(names.map((name) => [name, value]))
  const copy = join(folder, basename(file))
  const added = `${copy}.test.json`
  // docker-compose 1.29 knows neither a project name in the file nor that option, and reads a profile from the folder
  // where it is called.
  const known = (text: string) =>
    compose.length > 1 ? text : text.replace(/^name: .*\n/m, '').replace(/^ *- systempaths=.*\n/m, '')
  writeFileSync(copy, known(readFileSync(file, 'utf8')))
  cpSync(join(dirname(file), 'seccomp-sandbox.json'), join(folder, 'seccomp-sandbox.json'))
  const networks = {
    default: network === undefined ? { labels } : { external: true, name: network },
  }
  writeFileSync(
    added,
    JSON.stringify({ services: each(services, { labels }), volumes: each(volumes, { labels }), networks }),
  )
  const [program, ...args] = compose
  const files = [copy, ...beside, added].flatMap((each) => ['-f', each])
  await execute(program!, [...args, '-p', project, ...files, 'up', '-d', '--no-build'], {
    cwd: folder,
    env: { PATH: process.env.PATH, DOCKER_HOST: process.env.DOCKER_HOST, ...up.env },
  })
  return project
}
