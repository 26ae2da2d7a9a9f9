"""A certificate authority for the lab, and a certificate a host."""

from .processes import run

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make_authority(folder):
    """ca.pem and ca.key in `folder`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    run("openssl", "req", "-x509", "-days", "3650", *CURVE, "-subj", "/CN=vmigrate lab",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        "-keyout", folder / "ca.key", "-out", folder / "ca.pem")


def make_certificate(authority, folder, name):
    """ca.pem, host.pem and host.key for the host `name` in `folder`, signed by the authority in that other folder."""
    request = folder / "host.csr"
    extensions = folder / "host.ext"
    run("openssl", "req", "-new", *CURVE, "-subj", f"/CN={name}", "-keyout", folder / "host.key", "-out", request)
    extensions.write_text(f"subjectAltName=DNS:{name}\nkeyUsage=critical,digitalSignature\n"
                          "extendedKeyUsage=serverAuth\nbasicConstraints=critical,CA:FALSE\n",
                          encoding="utf-8")
    run("openssl", "x509", "-req", "-days", "3650", "-in", request, "-extfile", extensions,
        "-CA", authority / "ca.pem", "-CAkey", authority / "ca.key", "-CAcreateserial", "-out", folder / "host.pem")
    request.unlink()
    extensions.unlink()
    (folder / "ca.pem").write_bytes((authority / "ca.pem").read_bytes())
    (folder / "host.key").chmod(0o600)
