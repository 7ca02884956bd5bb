"""What an app may ask to do: every permission that is not for administrators, with words for people.

https://misskey-hub.net/docs/for-developers/api/permission/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Permission:
    """A permission by the ``name`` that servers know, and what it allows in ``english`` and ``japanese``.

    >>> PERMISSIONS["write:notes"].english
    'Post and delete notes'
    """

    name: str
    english: str
    japanese: str


#: Every permission by its name, the everyday ones first; there is no ``read:notes``.
PERMISSIONS = {
    row[0]: Permission(*row)
    for row in (
        ("read:account", "See your account and your timelines", "アカウントの情報とタイムラインを見る"),
        ("write:account", "Change your profile and settings", "プロフィールや設定を変更する"),
        ("write:notes", "Post and delete notes", "ノートを作成・削除する"),
        ("read:reactions", "See your reactions", "自分のリアクションを見る"),
        ("write:reactions", "Add and remove reactions", "リアクションを付けたり外したりする"),
        ("write:votes", "Vote in polls", "アンケートに投票する"),
        ("read:favorites", "See your favorite notes", "お気に入りのノートを見る"),
        ("write:favorites", "Add and remove favorites", "ノートをお気に入りに登録・解除する"),
        ("read:notifications", "See your notifications", "通知を見る"),
        ("write:notifications", "Create notifications and mark them as read", "通知を作成したり既読にしたりする"),
        ("read:drive", "See the files in your drive", "ドライブのファイルを見る"),
        ("write:drive", "Upload, change and delete files in your drive", "ドライブのファイルを追加・変更・削除する"),
        (
            "read:following",
            "See whom you follow and who asks to follow you",
            "フォロー中のユーザーと、届いたフォローリクエストを見る",
        ),
        ("write:following", "Follow and unfollow people", "ユーザーをフォロー・フォロー解除する"),
        ("read:mutes", "See whom you mute", "ミュートしているユーザーを見る"),
        ("write:mutes", "Mute and unmute people", "ユーザーをミュート・ミュート解除する"),
        ("read:blocks", "See whom you block", "ブロックしているユーザーを見る"),
        ("write:blocks", "Block and unblock people", "ユーザーをブロック・ブロック解除する"),
        ("write:report-abuse", "Report people to the moderators", "問題のあるユーザーをモデレーターに通報する"),
        ("read:chat", "Read your chats", "チャット（ダイレクトメッセージ）を読む"),
        ("write:chat", "Send and delete chat messages", "チャット（ダイレクトメッセージ）を送信・削除する"),
        ("read:messaging", "Read your chats (older servers)", "チャットを読む（古いサーバー）"),
        ("write:messaging", "Send and delete chats (older servers)", "チャットを送信・削除する（古いサーバー）"),
        ("read:user-groups", "See your user groups (older servers)", "ユーザーグループを見る（古いサーバー）"),
        ("write:user-groups", "Change your user groups (older servers)", "ユーザーグループを変更する（古いサーバー）"),
        ("read:channels", "See your channels", "自分のチャンネルを見る"),
        ("write:channels", "Create, change and follow channels", "チャンネルを作成・変更・フォローする"),
        ("read:clip-favorite", "See the clips you like", "いいねしたクリップを見る"),
        ("write:clip-favorite", "Like and unlike clips", "クリップにいいねを付けたり外したりする"),
        ("read:pages", "See your pages", "自分のページを見る"),
        ("write:pages", "Create, change and delete pages", "ページを作成・変更・削除する"),
        ("read:page-likes", "See the pages you like", "いいねしたページを見る"),
        ("write:page-likes", "Like and unlike pages", "ページにいいねを付けたり外したりする"),
        ("read:gallery", "See your gallery", "自分のギャラリーを見る"),
        ("write:gallery", "Create, change and delete gallery posts", "ギャラリーの投稿を作成・変更・削除する"),
        ("read:gallery-likes", "See the gallery posts you like", "いいねしたギャラリーの投稿を見る"),
        ("write:gallery-likes", "Like and unlike gallery posts", "ギャラリーの投稿にいいねを付けたり外したりする"),
        ("read:flash", "See your Plays", "自分の Play を見る"),
        ("write:flash", "Create, change and delete Plays", "Play を作成・変更・削除する"),
        ("read:flash-likes", "See the Plays you like", "いいねした Play を見る"),
        ("write:flash-likes", "Like and unlike Plays", "Play にいいねを付けたり外したりする"),
        ("read:invite-codes", "See your invitation codes", "自分の招待コードを見る"),
        ("write:invite-codes", "Create and delete invitation codes", "招待コードを作成・削除する"),
        ("read:federation", "Fetch data from other servers", "連合先のサーバーのデータを取得する"),
    )
}

#: Enough to sign in: the server still says who it is, but the token can read nothing.
IDENTITY_ONLY: tuple[str, ...] = ()


def parse_permissions(names: Iterable[str]) -> tuple[str, ...]:
    """Return ``names`` without duplicates, in the order of :data:`PERMISSIONS`.

    Raises :class:`ValueError` that names the unknown ones: a server would drop them without a word, and refuse
    duplicates.

    >>> parse_permissions(["write:notes", "read:account", "write:notes"])
    ('read:account', 'write:notes')
    """
    wanted = set(names)
    if unknown := sorted(wanted - PERMISSIONS.keys()):
        raise ValueError(f"unknown permissions: {', '.join(unknown)}")
    return tuple(name for name in PERMISSIONS if name in wanted)
