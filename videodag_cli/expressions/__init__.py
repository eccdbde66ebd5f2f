"""The expression language of `--assert`, of suites and of `ranges --where`.

    expression  = ( "always" | "ever" ) expression
                | either [ ( "for" | "within" ) DURATION ]
    either      = both { "or" both }
    both        = negation { "and" negation }
    negation    = "not" negation | "not" ( "always" | "ever" ) expression | comparison
    comparison  = sum [ ( "==" | "!=" | "<" | "<=" | ">" | ">=" | "contains" ) sum ]
    sum         = product { ( "+" | "-" ) product }
    product     = factor { ( "*" | "/" ) factor }
    factor      = "-" factor | "(" expression ")" | NUMBER | TEXT | "true" | "false" | "null" | rows | path
    rows        = ( "any" | "all" | "count" ) "(" path ":" either ")"
    path        = ( NAME | TEXT ) { "." ( NAME | TEXT | INDEX | "count" [ "(" class { "," class } ")" ] ) }
    class       = NAME | TEXT | INDEX
    DURATION    = NUMBER ( "ms" | "s" | "m" | "min" | "h" )

`syntax` reads text into a tree, `conditions` says what a tree without time words is worth on one frame, `timing` adds `for` and
`within` and finds time ranges, `assertions` makes a statement about the whole video of it.
"""
