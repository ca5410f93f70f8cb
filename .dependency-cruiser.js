/**
 * The rooms of lib/, from the door to the ground: each imports only from those below it, types included. Two on one line know nothing
 * of each other. docs/architecture.md says what each is for.
 */
const ROOMS = [
  ['plugin.ts', 'testing.ts', 'opentelemetry.ts', 'inspector.ts'],
  ['lib/fastify/', 'lib/testing/', 'lib/opentelemetry/', 'lib/inspector/'],
  ['lib/application/'],
  ['lib/look-ups/'],
  ['lib/scope/'],
  ['lib/session/'],
  ['lib/events/', 'lib/replicas/'],
  ['lib/transaction/'],
  ['lib/options/'],
  ['lib/drivers/', 'lib/diagnostics/'],
  ['lib/errors/']
]

/** What all of them stand on. */
const GROUND = ['lib/types.ts', 'lib/waiting.ts', 'lib/local-proxy.ts', 'lib/transition.ts', 'lib/bag.ts', 'lib/debug.ts']

/** Whose code at run time is known to which rooms. Types may be known to all. */
const KNOWN_TO = {
  'fastify(-plugin)?': ['plugin.ts', 'inspector.ts', 'lib/fastify/'],
  '@mikro-orm/[^/]+': ['lib/session/'],
  kysely: ['lib/transaction/'],
  '@opentelemetry/[^/]+': ['lib/opentelemetry/']
}

const startsWith = (...places) => `^(${places.map(place => place.replaceAll('.', '\\.')).join('|')})`

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-circle',
      comment: 'Files that import each other, if only for their types, cannot be read one after the other.',
      severity: 'error',
      from: {},
      to: { circular: true }
    },
    ...[...ROOMS, GROUND].flatMap((rooms, floor) => rooms.map(room => ({
      name: `from-${room.replaceAll(/^lib\/|\/$/g, '')}-down`,
      comment: 'A room imports from those below it only: see ROOMS in .dependency-cruiser.js.',
      severity: 'error',
      from: { path: startsWith(room) },
      to: { path: startsWith(...ROOMS.slice(0, floor + 1).flat().filter(other => other !== room)) }
    }))),
    {
      name: 'no-room-unknown',
      comment: 'A file of lib/ stands in a room that ROOMS in .dependency-cruiser.js has.',
      severity: 'error',
      from: { path: '^lib/', pathNot: startsWith(...ROOMS.flat(), ...GROUND) },
      to: {}
    },
    {
      name: 'no-room-unknown-to-others',
      comment: 'The same for a file that imports nothing itself.',
      severity: 'error',
      from: {},
      to: { path: '^lib/', pathNot: startsWith(...ROOMS.flat(), ...GROUND) }
    },
    {
      name: 'nothing-beside-lib',
      comment: 'What is published imports packages and what is published.',
      severity: 'error',
      from: { path: startsWith('lib/', 'plugin.ts', 'testing.ts', 'opentelemetry.ts', 'inspector.ts') },
      to: { pathNot: startsWith('lib/', 'node_modules/'), dependencyTypesNot: ['core'] }
    },
    ...Object.entries(KNOWN_TO).map(([name, rooms]) => ({
      name: `knows-${name.replaceAll(/\W+/g, '')}`,
      comment: 'Only some rooms know the code of this package: see KNOWN_TO in .dependency-cruiser.js. Others may import its types.',
      severity: 'error',
      from: { pathNot: startsWith(...rooms) },
      to: { path: `node_modules/${name}/`, dependencyTypesNot: ['type-only'] }
    }))
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node'] }
  }
}
