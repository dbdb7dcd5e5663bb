"""Words that carry little content, of German, English and Chinese; and words that open a subordinate clause."""

_EN = (
    "a an the and or but nor so yet if then than that this these those there here of in on at by for from to with "
    "without into onto over under about around between through during before after above below up down out off "
    "again i you he she it we they me him her us them my your his its our their mine yours hers ours theirs "
    "myself yourself himself herself itself ourselves themselves who whom whose which what when where why how all "
    "any both each few more most other some such no not only own same too very can will just should would could "
    "may might must shall do does did doing done have has had having be am is are was were been being as while "
    "because until although though since unless whether also s t re ve ll d m one ones"
)
_DE = (
    "der die das den dem des ein eine einer eines einem einen und oder aber denn doch sondern wenn dann als dass "
    "daß dieser diese dieses diesen diesem jener jene jenes hier da dort von in im an am bei beim für aus zu zum "
    "zur mit ohne auf über unter vor nach zwischen durch während seit bis um gegen ich du er sie es wir ihr mich "
    "dich ihn uns euch mir dir ihm ihnen mein dein sein ihre unser euer meine deine seine unsere eure seiner "
    "seinem seinen ihrer ihrem ihren sich wer wen wem wessen was welche welcher welches wann wo warum wie alle "
    "alles jeder jede jedes beide mehr meist andere anderen einige solche kein keine keinen keinem keiner nicht "
    "nur auch sehr so schon noch nun kann können konnte will wollen wird werden wurde wurden worden soll sollen "
    "sollte muss müssen musste darf dürfen mag möchte habe hat haben hatte hatten gehabt bin bist ist sind war "
    "waren gewesen sei wäre weil obwohl ob damit indem man ja mal eben"
)
_ZH = (
    "的 了 着 过 是 在 有 和 与 或 但 而 也 都 就 还 又 很 不 没 没有 这 那 这个 那个 这些 那些 我 你 他 她 "
    "它 我们 你们 他们 她们 它们 自己 什么 谁 哪 哪里 怎么 为什么 一 一个 个 些 里 上 下 中 对 从 到 向 把 被 "
    "给 让 用 以 为 为了 因为 所以 如果 虽然 但是 然后 可以 能 会 要 想 说 吗 呢 吧 啊 之 其 们 地 得 来 去 "
    "于 并 且 而且 并且 等 当 时 时候"
)
_CLAUSE = {
    "en": "that which who whom whose because although though while when where if unless until since whereas whether "
    "before after so",
    "de": "dass daß weil obwohl während wenn als ob damit indem nachdem bevor bis seitdem sobald welche welcher "
    "welches",
    "zh": "因为 所以 如果 虽然 但是 然后 而且 并且 当 为了",
}

FUNCTION_WORDS = {code: frozenset(words.split()) for code, words in (("en", _EN), ("de", _DE), ("zh", _ZH))}
CLAUSE_WORDS = {code: frozenset(words.split()) for code, words in _CLAUSE.items()}


def language_code(language: str) -> str:
    """The language of a code without its region, in lower case."""
    return language.lower().replace("_", "-").split("-")[0]
