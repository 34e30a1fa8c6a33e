import type { DockerClient } from './docker-client.ts'

/** Until the container has come to that. Throws where the engine goes away meanwhile. */
export async function waitFor(
  docker: DockerClient,
  id: string,
  condition: 'not-running' | 'removed',
  signal?: AbortSignal,
): Promise<void> {
  await docker.ask('POST', `/containers/${id}/wait`, { query: { condition }, signal })
}
