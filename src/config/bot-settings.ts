import type { Setting } from './setting.ts'

/** The variables of machines that run bots and builds: rows of `settings`. */
export const botSettings = {
  DOCKER_NETWORK: {
    ...{ type: 'text', default: 'bot_runner_network', page: 'bots' },
    about:
      "beginning of the name of the bots' network, `bot_runner_network`: each runner has one of its own, `bot_runner_network-…`; with `ERRAND_BOT_NETWORK_GUARD=external` the whole name",
  },
  ERRAND_BOT_ALLOW: {
    ...{ type: 'list', default: '', page: 'bots' },
    about: 'private places that bots may reach all the same: `db.internal:5432,10.0.0.7:8080`',
  },
  ERRAND_BOT_NETWORK_GUARD: {
    type: 'choice',
    choices: ['iptables', 'external'],
    ...{ default: 'iptables', refused: 'unusable' },
    hint: 'It is "iptables", or "external" where someone else closes it.',
    page: 'bots',
    about:
      "`iptables`, or `external` where someone else closes the networks: the bots' bridge `errand-…`, and those of builds, `erb-…`, where packets with a forged sender are to be dropped too",
  },
  ERRAND_BOT_MAX_MEMORY: {
    ...{ type: 'size', hint: 'Write it as 2GB.', refused: 'unusable', page: 'bots' },
    about:
      'the most memory that a bot may ask for, such as `2GB`; one that asks for more is refused. Unset: as the runner has it',
  },
  ERRAND_BOT_MAX_CPUS: {
    ...{ type: 'number', above: 0, hint: 'Write it as 2.', refused: 'unusable', page: 'bots' },
    about: 'the most cores, such as `2`. Unset: as the runner has them',
  },
  ERRAND_BOT_MAX_PROCESSES: {
    ...{ type: 'count', default: '4096', hint: 'Write it as 500.', refused: 'unusable', page: 'bots' },
    about: 'the most processes, `4096`',
  },
  ERRAND_BOT_MAX_DISK: {
    ...{ type: 'size', hint: 'Write it as 256MB.', refused: 'unusable', page: 'bots' },
    about: 'the most of `/tmp`, such as `256MB`',
  },
  ERRAND_BOT_MAX_WORK: {
    ...{ type: 'size', default: '10GB', hint: 'Write it as 2GB.', refused: 'unusable', page: 'bots' },
    about: 'the most of a working folder, `10GB`',
  },
  ERRAND_BOT_MAX_LOG: {
    ...{ type: 'size', default: '1GB', hint: 'Write it as 200MB.', refused: 'unusable', page: 'bots' },
    about: 'the most log a day, `1GB`',
  },
  ERRAND_BOT_RUNTIME: {
    ...{ type: 'list', default: '', page: 'bots' },
    about:
      'container runtime of bots, such as `runsc`; several are separated by commas: the first is for bots that ask for none, and no other may be asked for',
  },
  ERRAND_BOT_CPU_OVERCOMMIT: {
    ...{ type: 'number', from: 1, to: 1e6, hint: 'Write it as 10, a number from 1.', refused: 'unusable' },
    page: 'bots',
    about:
      'for so many cores that bots ask for one is kept, such as `4`; `1`: each bot has its own. Unset: none is kept',
  },
  BASE_IMAGE: {
    ...{ type: 'text', default: 'python:3.11-slim', page: 'bots' },
    about: 'what simple bots in Python are built on, `python:3.11-slim`',
  },
  ERRAND_NODE_BASE_IMAGE: {
    ...{ type: 'text', default: 'node:20-slim', page: 'bots' },
    about: 'what those in Node are built on, `node:20-slim`',
  },
  ERRAND_BUILD_MEMORY: {
    ...{ type: 'size', default: '1GB', hint: 'It is a size such as 1GB.', refused: 'unusable', page: 'bots' },
    about: 'memory of a build, `1GB`',
  },
  ERRAND_BUILD_CPUS: {
    ...{ type: 'number', default: '1', above: 0, below: 1e6, refused: 'unusable' },
    ...{ hint: 'It is a number such as 1.', page: 'bots', about: 'cores of a build, `1`' },
  },
  ERRAND_BUILD_PROCESSES: {
    ...{ type: 'number', default: '1000', above: 0, below: 1e6, refused: 'unusable' },
    ...{ hint: 'It is a number such as 1000.', page: 'bots', about: 'processes of a build, `1000`' },
  },
  ERRAND_BUILD_DISK: {
    ...{ type: 'size', default: '10GB', hint: 'It is a size such as 10GB.', refused: 'unusable' },
    page: 'bots',
    about:
      "disk of a build, `10GB`: its image, base and all, with what it writes into volumes. One also ends when the engine's disk has less than 1 GB, or room for less than 100,000 files (inodes), free",
  },
  ERRAND_BUILD_SECONDS: {
    ...{ type: 'number', default: '600', above: 0, below: 1e6, refused: 'unusable' },
    ...{ hint: 'It is a number such as 600.', page: 'bots', about: 'how long a build may take, `600`' },
  },
  ERRAND_BUILDS: {
    ...{ type: 'count', default: '2', hint: 'Write it as 2.', refused: 'unusable', page: 'bots' },
    about:
      "images that are built at once, `2`; owners take turns. A build's memory is not kept for it: so many times `ERRAND_BUILD_MEMORY` may be used beside what runs",
  },
  // A range for measurements between networks: it belongs to nobody on the internet, and is closed to bots anyway.
  ERRAND_BUILD_SUBNETS: {
    ...{ type: 'text', default: '198.18.0.0/16', page: 'bots' },
    about:
      'addresses for the networks of builds, 16 each: `198.18.0.0/16`. A range from /8 to /28 that the machine uses for nothing else',
  },
  ERRAND_GIT_ALLOW: {
    ...{ type: 'text', default: '', page: 'bots' },
    about:
      'Git servers that are not on the public internet, of bots, of checkouts and, at the hub, of issues',
  },
  ERRAND_REGISTRY_ALLOW: {
    ...{ type: 'text', default: '', page: 'bots' },
    about:
      "registries beside those of large providers (Docker Hub, ghcr.io, quay.io, gcr.io, ECR, ACR ...). The engine goes wherever a registry sends it, in this machine's network too: name only those that you trust",
  },
  ERRAND_LOCAL_IMAGES: {
    ...{ type: 'list', default: '', page: 'bots' },
    about: 'images, `*` for any text, that are used as they are on this machine',
  },
  ERRAND_BOT_IMAGE_DAYS: {
    ...{ type: 'number', default: '7', above: 0, hint: 'It is a number of days, such as 7.', page: 'bots' },
    about: 'images of bots go when unused for so long, `7`',
  },
  ERRAND_BOT_IMAGE_SPACE: {
    ...{ type: 'size', default: '20GB', hint: 'It is an amount, such as 20GB.', page: 'bots' },
    about: 'or beyond so much, `20GB`',
  },
} as const satisfies Readonly<Record<string, Setting>>
