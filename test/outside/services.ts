/** A kind of service that Errand speaks to and that somebody else runs. */
export interface OutsideService {
  /** The name in the tests and in `GET /health/services`. */
  name: string
  /** The source files that open connections to it, or start a program that does. */
  clients: readonly string[]
  /** The test file that tries every manner in which it fails, with `throughManners(t, NAME, …)`. */
  driven: string
}

/**
 * Every outside service. A source file that opens a connection and is listed neither here nor in `internal` fails a
 * test.
 */
export const outsideServices: readonly OutsideService[] = [
  {
    name: 'docker',
    clients: [
      'src/docker/docker-client.ts',
      'src/runner/bots/docker-here.ts',
      'src/runner/containers/container-run.ts',
      'src/runner/containers/containers.ts',
      'src/runner/docker/connected-docker.ts',
      'src/cli/doctor/machine.ts',
    ],
    driven: 'test/outside/docker.test.ts',
  },
  {
    name: 'docker provisioner',
    clients: ['src/hub/provisioners/drivers/docker.ts'],
    driven: 'test/outside/provisioners.test.ts',
  },
  {
    name: 'kubernetes',
    clients: ['src/hub/provisioners/drivers/kubernetes/api-client.ts'],
    driven: 'test/outside/provisioners.test.ts',
  },
  {
    name: 'forge',
    clients: ['src/forge/forge-http.ts', 'src/forge/open-forge.ts', 'src/runner/git/policy-fetch.ts'],
    driven: 'test/outside/hub-services.test.ts',
  },
  {
    name: 'git server',
    clients: [
      'src/runner/git/git-server.ts',
      'src/runner/git/remote.ts',
      'src/runner/workspaces/mirrors.ts',
      'src/runner/workspaces/git-check.ts',
      'src/runner/change-export/git-push.ts',
      'src/runner/sources/clone.ts',
    ],
    driven: 'test/outside/git-server.test.ts',
  },
  {
    name: 'git lfs',
    clients: ['src/runner/workspaces/lfs-files.ts'],
    driven: 'test/outside/git-server.test.ts',
  },
  {
    name: 'model',
    clients: ['src/agents/builtin/model.ts'],
    driven: 'test/outside/runner-services.test.ts',
  },
  {
    name: 'model behind the proxy',
    clients: ['src/runner/proxy/upstream.ts'],
    driven: 'test/outside/proxied.test.ts',
  },
  {
    name: 'server of a box',
    clients: ['src/runner/proxy/egress.ts'],
    driven: 'test/outside/proxied.test.ts',
  },
  {
    name: 'server of http.request',
    clients: ['src/actions/http-request.ts'],
    driven: 'test/outside/runner-services.test.ts',
  },
  {
    name: 'server of http.request in a local run',
    clients: ['src/actions/http-request.ts'],
    driven: 'test/outside/local-run.test.ts',
  },
  {
    name: 'mail server',
    clients: ['src/hub/notify/send-notice.ts'],
    driven: 'test/outside/hub-services.test.ts',
  },
  {
    name: 'ntfy',
    clients: ['src/hub/notify/send-notice.ts', 'src/hub/start-hub.ts'],
    driven: 'test/outside/hub-services.test.ts',
  },
  {
    name: 'webhook',
    clients: ['src/hub/notify/send-notice.ts', 'src/hub/start-hub.ts'],
    driven: 'test/outside/hub-services.test.ts',
  },
  {
    name: 'task registry',
    clients: ['src/compat/task-registry.ts'],
    driven: 'test/outside/hub-services.test.ts',
  },
  {
    name: 'artifact store',
    clients: ['src/compat/service-caller.ts'],
    driven: 'test/outside/runner-services.test.ts',
  },
  {
    name: 'host agent',
    clients: ['src/compat/host-agent/agent-client.ts'],
    driven: 'test/outside/proxied.test.ts',
  },
  {
    name: 'dns',
    clients: ['src/runner/git/server-addresses.ts'],
    driven: 'test/outside/dns.test.ts',
  },
]

/** The files that open connections to parts of this Errand, each with the reason. */
export const internal: Readonly<Record<string, string>> = {
  'src/client/http.ts': 'the API of the hub',
  'src/runner/artifacts/needed-files.ts': 'a function of that name, which asks the hub',
  'src/runner/link/hub-requests.ts': 'the API of the hub',
  'src/runner/link/hub-connection.ts': "the runner's link to its hub",
  'src/runner/model-gate/join-gate.ts': 'a socket of this machine, between two processes of the runner',
  'src/runner/containers/container-streams.ts': 'descriptors that this process has already',
  'src/runner/proxy/proxy-supervisor.ts': 'the control socket of the sandbox proxy',
  'src/agents/install/npm-install.ts': 'npm, called by a person who waits for its own words',
}
