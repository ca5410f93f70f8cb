import neostandard, { plugins, resolveIgnoresFromGitignore } from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: resolveIgnoresFromGitignore() }),
  {
    files: ['lib/inspector/page/*.js'],
    languageOptions: { globals: Object.fromEntries(['document', 'location', 'navigator', 'window', 'EventSource', 'Node'].map(name => [name, 'readonly'])) }
  },
  {
    files: ['**/*.ts'],
    plugins: { '@typescript-eslint': plugins['typescript-eslint'].plugin },
    languageOptions: { parserOptions: { projectService: true } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-empty-object-type': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      // Nobody waits for a test of node:test but its runner.
      '@typescript-eslint/no-floating-promises': ['error', { allowForKnownSafeCalls: [{ from: 'package', package: 'node:test', name: 'test' }] }],
      '@typescript-eslint/no-misused-promises': 'error',
      // Users give DatabaseSession its type, so what it is in here proves nothing.
      '@typescript-eslint/no-unnecessary-type-assertion': ['error', { typesToIgnore: ['DatabaseSession'] }],
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/prefer-promise-reject-errors': 'error',
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // A statement `void promise` says that nobody waits for it, which no-floating-promises asks for.
      'no-void': ['error', { allowAsStatement: true }],
      // An entity and its type may share a name; what is really declared twice, the compiler reports.
      '@typescript-eslint/no-redeclare': 'off'
    }
  },
  {
    // What is done for each request.
    files: ['lib/{fastify,session,scope}/**/*.ts'],
    rules: {
      'no-restricted-syntax': ['error', {
        selector: 'AssignmentExpression[left.type=MemberExpression] > .right:matches(ArrowFunctionExpression, FunctionExpression)',
        message: 'V8 makes a function old that is assigned to a property where it is written, and what it refers to lives on with it: use Object.assign(), or a variable'
      }]
    }
  }
]
