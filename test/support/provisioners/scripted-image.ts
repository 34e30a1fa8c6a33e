import { execFile } from 'node:child_process'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { baseImage, dockerFor } from '../docker/docker.ts'

const execute = promisify(execFile)

const DOCKERFILE = `
RUN mkdir -p /usr/local/bin /var/lib/errand && chown 10001 /var/lib/errand && printf '%s\\n' '#!/bin/sh' 'eval "\${BODY:-exec sleep 600}"' > /usr/local/bin/errand && chmod 755 /usr/local/bin/errand
ENV PATH=/bin:/usr/bin:/usr/local/bin
VOLUME /var/lib/errand
USER 10001
`

/**
 * Builds an image of a few MB that claims to contain a runner. It runs the shell text in the variable BODY, or waits.
 */
export async function scriptedImage(
  t: TestContext,
  { label = 'errand.runner-version=test' } = {},
): Promise<string> {
  const docker = dockerFor(t)
  const name = docker.name('scripted')
  const text = `FROM ${await baseImage('busybox:latest')}\n${DOCKERFILE}LABEL ${label}\n`
  const own = `errand.test=${docker.labels['errand.test']}`
  const built = execute('docker', ['build', '-q', '--force-rm', '--label', own, '-t', name, '-'], {
    env: { ...process.env, DOCKER_BUILDKIT: '0' },
  })
  built.child.stdin!.end(text)
  await built
  return name
}
