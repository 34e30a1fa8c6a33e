import type { Setting } from './setting.ts'

/** The variables of machines that run bots and builds: rows of `settings`. */
export const botSettings = {
  DOCKER_NETWORK: {
    ...{ type: 'text', default: 'bot_runner_network', page: 'bots' },
    about:
      "start of the name of the bots' network; default `bot_runner_network`. Each runner has its own network, `bot_runner_network-…`. With `ERRAND_BOT_NETWORK_GUARD=external` it is the whole name",
  },
  ERRAND_BOT_ALLOW: {
    ...{ type: 'list', default: '', page: 'bots' },
    about: 'private addresses that bots may reach nevertheless, such as `db.internal:5432,10.0.0.7:8080`',
  },
  ERRAND_BOT_NETWORK_GUARD: {
    type: 'choice',
    choices: ['iptables', 'external'],
    ...{ default: 'iptables', refused: 'unusable' },
    hint: 'Write "iptables", or "external" if you close the networks yourself.',
    page: 'bots',
    about:
      "`iptables` (default), or `external` if you close the networks yourself: the bots' bridge `errand-…` and the bridges of builds, `erb-…`. On the latter, also drop packets with a forged sender",
  },
  ERRAND_BOT_MAX_MEMORY: {
    ...{ type: 'size', hint: 'Write it as 2GB.', refused: 'unusable', page: 'bots' },
    about:
      "most memory that a bot may ask for, such as `2GB`; a bot that asks for more is refused. Default: the runner's own",
  },
  ERRAND_BOT_MAX_CPUS: {
    ...{ type: 'number', above: 0, hint: 'Write it as 2.', refused: 'unusable', page: 'bots' },
    about: "most cores that a bot may ask for, such as `2`. Default: the runner's own",
  },
  ERRAND_BOT_MAX_PROCESSES: {
    ...{ type: 'count', default: '4096', hint: 'Write it as 500.', refused: 'unusable', page: 'bots' },
    about: 'most processes that a bot may ask for; default `4096`',
  },
  ERRAND_BOT_MAX_DISK: {
    ...{ type: 'size', hint: 'Write it as 256MB.', refused: 'unusable', page: 'bots' },
    about: 'largest `/tmp` that a bot may ask for, such as `256MB`',
  },
  ERRAND_BOT_MAX_WORK: {
    ...{ type: 'size', default: '10GB', hint: 'Write it as 2GB.', refused: 'unusable', page: 'bots' },
    about: 'largest working folder that a bot may ask for; default `10GB`',
  },
  ERRAND_BOT_MAX_LOG: {
    ...{ type: 'size', default: '1GB', hint: 'Write it as 200MB.', refused: 'unusable', page: 'bots' },
    about: 'largest log per day that a bot may ask for; default `1GB`',
  },
  ERRAND_BOT_RUNTIME: {
    ...{ type: 'list', default: '', page: 'bots' },
    about:
      'container runtimes that bots may ask for, separated by commas, such as `runsc`. Bots that ask for none get the first',
  },
  ERRAND_BOT_CPU_OVERCOMMIT: {
    ...{ type: 'number', from: 1, to: 1e6, hint: 'Write it as 10, a number from 1.', refused: 'unusable' },
    page: 'bots',
    about:
      'how many requested cores share one reserved core, such as `4`. With `1`, each bot gets its own cores. If unset, no cores are reserved',
  },
  BASE_IMAGE: {
    ...{ type: 'text', default: 'python:3.11-slim', page: 'bots' },
    about: 'base image of simple bots in Python; default `python:3.11-slim`',
  },
  ERRAND_NODE_BASE_IMAGE: {
    ...{ type: 'text', default: 'node:20-slim', page: 'bots' },
    about: 'base image of simple bots in Node; default `node:20-slim`',
  },
  ERRAND_BUILD_MEMORY: {
    ...{ type: 'size', default: '1GB', hint: 'Give a size such as 1GB.', refused: 'unusable', page: 'bots' },
    about: 'memory for a build; default `1GB`',
  },
  ERRAND_BUILD_CPUS: {
    ...{ type: 'number', default: '1', above: 0, below: 1e6, refused: 'unusable' },
    ...{ hint: 'Give a number such as 1.', page: 'bots', about: 'cores for a build; default `1`' },
  },
  ERRAND_BUILD_PROCESSES: {
    ...{ type: 'number', default: '1000', above: 0, below: 1e6, refused: 'unusable' },
    ...{ hint: 'Give a number such as 1000.', page: 'bots', about: 'processes for a build; default `1000`' },
  },
  ERRAND_BUILD_DISK: {
    ...{ type: 'size', default: '10GB', hint: 'Give a size such as 10GB.', refused: 'unusable' },
    page: 'bots',
    about:
      "disk for a build; default `10GB`. It counts the image with its base, and what the build writes into volumes. A build also ends when the engine's disk has less than 1 GB or fewer than 100,000 inodes free",
  },
  ERRAND_BUILD_SECONDS: {
    ...{ type: 'number', default: '600', above: 0, below: 1e6, refused: 'unusable' },
    ...{
      hint: 'Give a number such as 600.',
      page: 'bots',
      about: 'longest duration of a build, in seconds; default `600`',
    },
  },
  ERRAND_BUILDS: {
    ...{ type: 'count', default: '2', hint: 'Write it as 2.', refused: 'unusable', page: 'bots' },
    about:
      'builds at once; default `2`. Owners take turns. Memory is not reserved for builds: they can use this number times `ERRAND_BUILD_MEMORY` in addition to what runs',
  },
  // A range for measurements between networks: it belongs to nobody on the internet, and is closed to bots anyway.
  ERRAND_BUILD_SUBNETS: {
    ...{ type: 'text', default: '198.18.0.0/16', page: 'bots' },
    about:
      'addresses for the networks of builds, 16 for each; default `198.18.0.0/16`. Give a range from /8 to /28 that the machine uses for nothing else',
  },
  ERRAND_GIT_ALLOW: {
    ...{ type: 'text', default: '', page: 'bots' },
    about: 'Git servers outside the public internet that bots, checkouts and, at the hub, issues may use',
  },
  ERRAND_REGISTRY_ALLOW: {
    ...{ type: 'text', default: '', page: 'bots' },
    about:
      "registries in addition to those of large providers (Docker Hub, ghcr.io, quay.io, gcr.io, ECR, ACR ...). The engine follows a registry wherever it redirects, even into this machine's network: name only registries that you trust",
  },
  ERRAND_LOCAL_IMAGES: {
    ...{ type: 'list', default: '', page: 'bots' },
    about: 'images that are used as they are on this machine, without a pull; `*` matches any text',
  },
  ERRAND_BOT_IMAGE_DAYS: {
    ...{ type: 'number', default: '7', above: 0, hint: 'Give a number of days, such as 7.', page: 'bots' },
    about: 'days after which unused images of bots are deleted; default `7`',
  },
  ERRAND_BOT_IMAGE_SPACE: {
    ...{ type: 'size', default: '20GB', hint: 'Give an amount, such as 20GB.', page: 'bots' },
    about: 'disk for unused images of bots; default `20GB`. Beyond it, they are deleted too',
  },
} as const satisfies Readonly<Record<string, Setting>>
